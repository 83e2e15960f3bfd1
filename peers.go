package ssechat

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// aliveEvery is how often a hub tells its peers that it lives.
	aliveEvery = 50 // ticks
	// peerLife is after how much silence a peer's readers count no more.
	peerLife = 30 * time.Second
	// noticeBytes is about how long a notice may be.
	noticeBytes = 64 << 10
)

// peers are the other hubs of the same log, in other processes, and who reads
// there. What they tell each other is not stored, so it is numbered: a hub that
// has missed a notice asks for everything.
type peers struct {
	mu    sync.Mutex  // guards all below
	relay store.Relay // nil if the log is this hub's alone
	sent  uint64      // presence notices
	by    map[string]*peer
}

// peer is one other hub.
type peer struct {
	heard time.Time
	next  uint64 // number of its next notice
	rooms map[string]readers
}

// readers is who reads a room at one hub, or at several.
type readers struct {
	count int
	names []string // distinct, sorted, at most maxNames
}

// notice is what hubs of one log tell each other.
type notice struct {
	// Number is of this notice, or of the next one if there are no Rooms.
	Number uint64 `json:"number,omitempty"`
	// Hello asks all others for everything.
	Hello bool `json:"hello,omitempty"`
	// Bye tells that the sender is gone.
	Bye bool `json:"bye,omitempty"`
	// Kick is a name whose streams end.
	Kick string `json:"kick,omitempty"`
	// End is whose streams end as on a reload.
	End *noticeEnd `json:"end,omitempty"`
	// All tells that rooms not in this notice, or in those that follow it,
	// have no readers.
	All   bool         `json:"all,omitempty"`
	Rooms []noticeRoom `json:"rooms,omitempty"`
}

// noticeEnd names the room whose streams end; without a name it is all.
type noticeEnd struct {
	Room string `json:"room,omitempty"`
}

type noticeRoom struct {
	Room  string   `json:"room"`
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"`
}

// meet begins to talk with the other hubs of a log, if it can have some.
func (b *broker) meet() {
	relay, ok := b.store.(store.Relay)
	if !ok {
		return
	}
	b.peers.mu.Lock()
	b.peers.relay = relay
	b.peers.mu.Unlock()
	b.tell(notice{Hello: true})
}

// tell tells all peers something. What cannot be told now is not told.
func (b *broker) tell(n notice) {
	b.peers.mu.Lock()
	defer b.peers.mu.Unlock()
	if b.peers.relay == nil {
		return
	}
	if n.Rooms != nil || n.All {
		b.peers.sent++
	}
	n.Number = b.peers.sent
	data, err := json.Marshal(n)
	if err == nil {
		_ = b.peers.relay.Tell(data)
	}
}

// alone reports whether the log is this hub's alone.
func (b *broker) alone() bool {
	b.peers.mu.Lock()
	defer b.peers.mu.Unlock()
	return b.peers.relay == nil
}

// tellPeers tells who reads rooms here now.
func (b *broker) tellPeers(rooms []*room, all bool) {
	n, size := notice{All: all}, 0
	for _, r := range rooms {
		here := r.here()
		n.Rooms = append(n.Rooms, noticeRoom{r.name, here.count, here.names})
		size += len(r.name) + 64*(1+len(here.names))
		if size > noticeBytes {
			b.tell(n)
			n, size = notice{}, 0
		}
	}
	if n.All || n.Rooms != nil {
		b.tell(n)
	}
}

// tellAll tells who reads here, in all rooms.
func (b *broker) tellAll() {
	b.mu.RLock()
	rooms := make([]*room, 0, len(b.rooms))
	for _, r := range b.rooms {
		rooms = append(rooms, r)
	}
	b.mu.RUnlock()
	b.tellPeers(rooms, true)
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
		b.tellAll()
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
	} else if numbered := n.Rooms != nil; n.Number != other.next && (!numbered || n.Number != other.next+1) {
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
			other.rooms = make(map[string]readers)
		}
		other.rooms[r.Room] = readers{r.Count, r.Names}
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

// in returns who reads a room elsewhere.
func (p *peers) in(room string, now time.Time) (sum readers) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.by {
		if there, ok := other.rooms[room]; ok && now.Sub(other.heard) <= peerLife {
			sum.count += there.count
			sum.names = append(sum.names, there.names...)
		}
	}
	slices.Sort(sum.names)
	sum.names = slices.Compact(sum.names)
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

// talk does what is due between peers.
func (b *broker) talk(now int64) {
	rooms := b.untold.take(nil)
	if b.alone() {
		return
	}
	b.tellPeers(rooms, false)
	if now-b.talked < aliveEvery {
		return
	}
	b.talked = now
	b.tell(notice{})
	for _, name := range b.peers.expire(time.Now()) {
		if r := b.room(name); r != nil {
			b.countOthers(r)
		}
	}
}

// here returns who reads the room at this hub.
func (r *room) here() readers {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	here := readers{count: r.presence.count}
	for _, n := range r.presence.names[:min(len(r.presence.names), maxNames)] {
		here.names = append(here.names, n.name)
	}
	return here
}
