package nodes

import (
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

// peerLife is how long the readers of a silent peer are counted.
const peerLife = 30 * time.Second

// Peers are the hub's instances on other nodes, and who reads there. Notices are
// not stored, so they are numbered: a hub that has missed one asks for everything.
// The zero value is ready for use. Its methods are safe for concurrent use.
type Peers struct {
	mu   sync.Mutex       // guards by and lost; never held while waiting
	by   map[string]*peer // peers by the relay's name for them
	lost time.Time        // when the last one with readers went
}

// peer is the hub's instance on one other node.
type peer struct {
	heard time.Time // time of its last notice
	last  uint64    // number of its last numbered notice
	rooms map[string]NoticeRoom
}

// Hear processes a notice of a peer. It returns the rooms that it changes, and
// whether notices were missed, so that the hub has to ask for everything.
func (p *Peers) Hear(from string, n *Notice) (changed []string, ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.Bye {
		return p.drop(from, time.Now()), false
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
	} else if n.Number != other.last && (!n.Numbered() || n.Number != other.last+1) {
		ask = true
	}
	other.last = n.Number
	return append(changed, other.update(n.Rooms)...), ask
}

// update records the readers of rooms and returns the rooms' names.
func (p *peer) update(rooms []NoticeRoom) (names []string) {
	for _, r := range rooms {
		names = append(names, r.Room)
		if r.Count <= 0 {
			delete(p.rooms, r.Room)
			continue
		}
		if p.rooms == nil {
			p.rooms = make(map[string]NoticeRoom)
		}
		r.Names = r.Names[:min(len(r.Names), presence.MaxNames)]
		r.People = r.People[:min(len(r.People), presence.MaxNames)]
		p.rooms[r.Room] = r
	}
	return names
}

// forgetRooms forgets the peer's rooms and returns their names.
func (p *peer) forgetRooms() (names []string) {
	for name := range p.rooms {
		names = append(names, name)
	}
	p.rooms = nil
	return names
}

// drop forgets a peer that went at some time, and returns the rooms in which it had readers.
func (p *Peers) drop(from string, at time.Time) []string {
	other := p.by[from]
	if other == nil {
		return nil
	}
	delete(p.by, from)
	if len(other.rooms) > 0 {
		p.lost = later(p.lost, at)
	}
	return other.forgetRooms()
}

// Expire forgets peers that have been silent for longer than peerLife, and returns
// the rooms in which they had readers.
func (p *Peers) Expire(now time.Time) (changed []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, other := range p.by {
		if now.Sub(other.heard) > peerLife {
			changed = append(changed, p.drop(from, other.heard.Add(peerLife))...)
		}
	}
	return changed
}

// Alive returns the peers that were heard lately.
func (p *Peers) Alive(now time.Time) (peers []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for from, other := range p.by {
		if now.Sub(other.heard) <= peerLife {
			peers = append(peers, from)
		}
	}
	return peers
}

// Lost returns when a peer with readers last said farewell or had been silent for too long; zero
// if never. One without readers may be silent though all is well.
func (p *Peers) Lost(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.lost
	for _, other := range p.by {
		if end := other.heard.Add(peerLife); end.Before(now) && len(other.rooms) > 0 {
			lost = later(lost, end)
		}
	}
	return lost
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// In returns who reads a room on other nodes, or nil if nobody does.
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
