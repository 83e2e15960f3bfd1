package ssechat

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// peerLife is how long a silent peer's readers are still counted.
const peerLife = 30 * time.Second

// peers are the other hubs of the same log, in other processes, and who reads
// there. What they tell each other is not stored, so it is numbered: a hub that
// has missed a notice asks for everything.
type peers struct {
	mu sync.Mutex // guards by; never held while anything waits
	by map[string]*peer
}

// peer is one other hub.
type peer struct {
	heard time.Time
	next  uint64 // number of its next notice
	rooms map[string]noticeRoom
}

// elsewhere is who reads a room at other nodes; nil is nobody.
type elsewhere struct {
	summary
	names  []string        // distinct, sorted, at most maxNames
	people map[string]bool // those who are known, and whether they have a name
}

func (e *elsewhere) shown() []string {
	if e == nil {
		return nil
	}
	return e.names
}

func (e *elsewhere) equal(other *elsewhere) bool {
	if e == nil || other == nil {
		return e == other
	}
	return e.summary == other.summary && slices.Equal(e.names, other.names) && maps.Equal(e.people, other.people)
}

// add adds who reads at one more node. Of people whom it does not list, because
// they are too many, nobody knows whether they are counted already.
func (e *elsewhere) add(n *noticeRoom) {
	e.count += n.Count
	e.unnamed += n.Unnamed
	e.names = append(e.names, n.Names...)
	for _, key := range n.People {
		key, named := personTold(key)
		if already, known := e.people[key]; known {
			e.merge(named, already)
			named = named || already
		}
		if e.people == nil {
			e.people = make(map[string]bool)
		}
		e.people[key] = named
	}
}

// Told implements [store.Peer].
func (b *broker) Told(from string, data []byte) {
	var n notice
	if json.Unmarshal(data, &n) != nil {
		return
	}
	if n.Kick != "" {
		b.kickHere(n.Kick)
	}
	if n.End != nil {
		b.endStreamsHere(n.End.Room)
	}
	if n.Hello {
		b.outbox.addAll()
	}
	changed, ask := b.peers.hear(from, &n)
	for _, name := range changed {
		if r := b.room(name); r != nil {
			b.countOthers(r)
		}
	}
	if ask {
		b.tell(notice{Hello: true})
	}
}

// hear takes in a notice. It returns which rooms it changes, and whether
// others are missing.
func (p *peers) hear(from string, n *notice) (changed []string, ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.Bye {
		return p.drop(from), false
	}
	other := p.by[from]
	if other == nil {
		if p.by == nil {
			p.by = make(map[string]*peer)
		}
		other = new(peer)
		p.by[from] = other
		ask = n.Number > 0 && !n.All
	}
	other.heard = time.Now()
	if n.All {
		changed = other.forgetRooms()
	} else if n.Number != other.next && (!n.numbered() || n.Number != other.next+1) {
		ask = true
	}
	other.next = n.Number
	for _, r := range n.Rooms {
		changed = append(changed, r.Room)
		if r.Count <= 0 {
			delete(other.rooms, r.Room)
			continue
		}
		if other.rooms == nil {
			other.rooms = make(map[string]noticeRoom)
		}
		r.Names = r.Names[:min(len(r.Names), maxNames)]
		r.People = r.People[:min(len(r.People), maxNames)]
		other.rooms[r.Room] = r
	}
	return changed, ask
}

func (p *peer) forgetRooms() (names []string) {
	for name := range p.rooms {
		names = append(names, name)
	}
	p.rooms = nil
	return names
}

// drop forgets a peer and returns in which rooms it had readers.
func (p *peers) drop(from string) []string {
	other := p.by[from]
	if other == nil {
		return nil
	}
	delete(p.by, from)
	return other.forgetRooms()
}

// expire forgets the peers that were not heard of for long.
func (p *peers) expire(now time.Time) (changed []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, other := range p.by {
		if now.Sub(other.heard) > peerLife {
			changed = append(changed, p.drop(from)...)
		}
	}
	return changed
}

// in returns who reads a room elsewhere, or nil.
func (p *peers) in(room string, now time.Time) *elsewhere {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum *elsewhere
	for _, other := range p.by {
		if there, ok := other.rooms[room]; ok && now.Sub(other.heard) <= peerLife {
			if sum == nil {
				sum = new(elsewhere)
			}
			sum.add(&there)
		}
	}
	if sum != nil {
		slices.Sort(sum.names)
		sum.names = slices.Compact(sum.names)
		sum.names = sum.names[:min(len(sum.names), maxNames)]
	}
	return sum
}

// countOthers looks up who reads a room elsewhere.
func (b *broker) countOthers(r *room) {
	r.seatMu.Lock()
	// while the room is locked, so that the newest count stays
	r.presence.setOthers(b.peers.in(r.name, time.Now()))
	r.seatMu.Unlock()
	b.restless.add(r)
}

// expirePeers forgets the peers that were not heard of for long, and whom they
// had as readers.
func (b *broker) expirePeers() {
	for _, name := range b.peers.expire(time.Now()) {
		if r := b.room(name); r != nil {
			b.countOthers(r)
		}
	}
}
