package nodes

import (
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

// peerLife is how long a silent peer's readers are still counted.
const peerLife = 30 * time.Second

// Peers are the other hubs of the same log, in other processes, and who reads
// there. What they tell each other is not stored, so it is numbered: a hub that
// has missed a notice asks for everything.
type Peers struct {
	mu sync.Mutex // guards by; never held while anything waits
	by map[string]*peer
}

// peer is one other hub.
type peer struct {
	heard time.Time
	next  uint64 // number of its next notice
	rooms map[string]NoticeRoom
}

// Hear takes in a notice. It returns which rooms it changes, and whether
// others are missing.
func (p *Peers) Hear(from string, n *Notice) (changed []string, ask bool) {
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
	} else if n.Number != other.next && (!n.Numbered() || n.Number != other.next+1) {
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
			other.rooms = make(map[string]NoticeRoom)
		}
		r.Names = r.Names[:min(len(r.Names), presence.MaxNames)]
		r.People = r.People[:min(len(r.People), presence.MaxNames)]
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
func (p *Peers) drop(from string) []string {
	other := p.by[from]
	if other == nil {
		return nil
	}
	delete(p.by, from)
	return other.forgetRooms()
}

// Expire forgets the peers that were not heard of for long.
func (p *Peers) Expire(now time.Time) (changed []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, other := range p.by {
		if now.Sub(other.heard) > peerLife {
			changed = append(changed, p.drop(from)...)
		}
	}
	return changed
}

// In returns who reads a room elsewhere, or nil.
func (p *Peers) In(room string, now time.Time) *presence.Elsewhere {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum *presence.Elsewhere
	for _, other := range p.by {
		if there, ok := other.rooms[room]; ok && now.Sub(other.heard) <= peerLife {
			if sum == nil {
				sum = new(presence.Elsewhere)
			}
			sum.Add(presence.Summary{Count: there.Count, Unnamed: there.Unnamed}, there.Names, there.people())
		}
	}
	if sum != nil {
		sum.Tidy()
	}
	return sum
}
