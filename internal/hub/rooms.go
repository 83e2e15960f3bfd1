package hub

import (
	"errors"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

// errTooManyRooms is returned to a reader of a new room when the hub can have
// no more.
var errTooManyRooms = errors.New("the hub has reached its limit of rooms, and all of them have readers")

const (
	// vacantFor is how long a room without readers keeps its ring, because
	// readers who lost their connection come back.
	// A minute later it is gone, with what looking after it takes.
	vacantFor = 550 // ticks
)

// seat gives a subscriber its seats, all or none.
func (h *Hub) seat(s *Subscriber, names []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, name := range names {
		r := h.roomFor(name)
		if r == nil {
			h.rise(s.seats[:i])
			return errTooManyRooms
		}
		s.seats[i].sub, s.seats[i].room = s, r
		r.sit(&s.seats[i])
		if r.vacancy != nil {
			h.vacant.Remove(r.vacancy)
			r.vacancy = nil
		}
		h.changed(r)
	}
	return nil
}

// roomFor returns the room of that name, made if need be, or nil if there can
// be no more.
func (h *Hub) roomFor(name string) *room {
	if r := h.rooms[name]; r != nil {
		return r
	}
	if len(h.rooms) >= h.limits.Rooms {
		first := h.vacant.Front()
		if first == nil {
			return nil
		}
		h.dropRoom(first.Value.(*room))
	}
	// whatever was stored before now, this ring lacks
	r := &room{name: name, floor: *h.latest.Load()}
	h.rooms[name] = r
	r.presence.SetOthers(h.peers.In(name, time.Now()))
	return r
}

func (h *Hub) unseat(s *Subscriber) {
	h.mu.Lock()
	h.rise(s.seats)
	h.mu.Unlock()
	h.wheel.Run() // until the rooms are gone
}

func (h *Hub) rise(seats []seat) {
	now := h.wheel.Elapsed()
	for i := range seats {
		r := seats[i].room
		vacant, pending := r.rise(&seats[i], now)
		if vacant {
			r.vacancy = h.vacant.PushBack(r)
			r.vacated = now
		}
		if pending {
			h.departures.add(r, now)
		} else {
			h.changed(r)
		}
	}
}

// changed has watchers and peers told who is in a room now.
func (h *Hub) changed(r *room) {
	h.restless.add(r)
	h.outbox.AddRoom(r.name)
}

// RoomsRead returns how many rooms have readers.
func (h *Hub) RoomsRead() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.rooms) - h.vacant.Len()
}

// dropRoom forgets a room without readers. If it is dropped early, somebody may
// still be counted there, which ends now.
func (h *Hub) dropRoom(r *room) {
	h.vacant.Remove(r.vacancy)
	delete(h.rooms, r.name)
	h.ringBytes.Add(r.clear())
	if r.counted() {
		h.outbox.AddRoom(r.name)
	}
}

// dropStep is how many rooms are dropped before others get the hub's lock.
const dropStep = 256

// dropVacant drops some of the rooms that were without readers for long, and
// reports whether there may be more.
func (h *Hub) dropVacant(now int64) (more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range dropStep {
		first := h.vacant.Front()
		if first == nil || now-first.Value.(*room).vacated < vacantFor {
			return false
		}
		h.dropRoom(first.Value.(*room))
		if len(h.rooms) == 0 {
			h.rooms = make(map[string]*room) // a map never shrinks
		}
	}
	return true
}

// roomSet collects rooms that need attention, each once. Its kind tells it
// from the other sets that a room may be in.
type roomSet struct {
	kind  roomSetKind
	mu    sync.Mutex // guards rooms
	rooms []*room
}

type roomSetKind int

const (
	dirtySet    roomSetKind = iota // messages of which no reader was told
	restlessSet                    // presence of which some watcher was not told
	swollenSet                     // a ring longer than usual
	roomSetKinds
)

func (set *roomSet) add(r *room) {
	if r.in[set.kind].CompareAndSwap(false, true) {
		set.mu.Lock()
		set.rooms = append(set.rooms, r)
		set.mu.Unlock()
	}
}

// take empties the set and returns what was in it, using buf for what comes
// next. A room may be added again from now on.
func (set *roomSet) take(buf []*room) []*room {
	set.mu.Lock()
	rooms := set.rooms
	set.rooms = buf[:0]
	set.mu.Unlock()
	for _, r := range rooms {
		r.in[set.kind].Store(false)
	}
	return rooms
}

// departures are the rooms that somebody has left a moment ago, the first in
// front. All wait equally long. Its methods may be called at any time.
type departures struct {
	mu    sync.Mutex // guards queue
	queue []departure
}

type departure struct {
	at   int64 // when to look who has gone, in ticks
	room *room
}

// add notes that somebody has left a room at a time.
func (d *departures) add(r *room, now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, departure{now + presence.LeaveAfter, r})
}

// due takes out the rooms whose time has come.
func (d *departures) due(now int64) []departure {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.queue) && d.queue[n].at <= now {
		n++
	}
	due := d.queue[:n:n]
	if d.queue = d.queue[n:]; len(d.queue) == 0 {
		d.queue = nil
	}
	return due
}
