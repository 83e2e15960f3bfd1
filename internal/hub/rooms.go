package hub

import (
	"errors"
	"time"
)

// errTooManyRooms is returned to a reader of a new room when the hub has MaxRooms
// rooms and all of them have readers.
var errTooManyRooms = errors.New("the hub has reached its limit of rooms, and all of them have readers")

const (
	// vacantFor is how long a room without readers keeps its ring, so that readers
	// that lost their connection can resume from it. The room and its timers are
	// gone within a minute.
	vacantFor = 550 // ticks
)

// enterRooms gives a subscriber a seat in each room, or none after an error.
func (h *Hub) enterRooms(s *Subscriber, names []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, name := range names {
		r := h.roomFor(name)
		if r == nil {
			h.removeSeats(s.seats[:i])
			return errTooManyRooms
		}
		s.seats[i].sub, s.seats[i].room = s, r
		r.addSeat(&s.seats[i])
		if r.vacancy != nil {
			h.vacant.Remove(r.vacancy)
			r.vacancy = nil
		}
		h.presenceChanged(r)
	}
	return nil
}

// roomFor returns the room of that name, which it makes if need be, or nil if there
// are too many. The caller holds mu.
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
	// the ring lacks whatever was stored before now
	r := &room{name: name, floor: *h.latest.Load()}
	r.notices.Lack(r.floor)
	h.rooms[name] = r
	r.presence.SetElsewhere(h.peers.In(name, time.Now()))
	return r
}

// leaveRooms removes the seats of a subscriber.
func (h *Hub) leaveRooms(s *Subscriber) {
	h.mu.Lock()
	h.removeSeats(s.seats)
	h.mu.Unlock()
	h.wheel.Run() // so that the clock drops vacant rooms
}

// removeSeats removes seats from their rooms. The caller holds mu.
func (h *Hub) removeSeats(seats []seat) {
	now := h.wheel.Elapsed()
	for i := range seats {
		r := seats[i].room
		vacant, pending := r.removeSeat(&seats[i], now)
		if vacant {
			r.vacancy = h.vacant.PushBack(r)
			r.vacated = now
		}
		if pending {
			h.departures.add(r, now)
		} else {
			h.presenceChanged(r)
		}
	}
}

// presenceChanged makes the clock announce who is in a room now to watchers and peers.
func (h *Hub) presenceChanged(r *room) {
	h.toAnnounce.add(r)
	h.outbox.AddRoom(r.name)
}

// RoomsRead returns how many rooms have readers on this node.
func (h *Hub) RoomsRead() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.rooms) - h.vacant.Len()
}

// dropRoom drops a room without readers. If it is dropped early, a departed reader
// may still be counted in it, so peers are told. The caller holds mu.
func (h *Hub) dropRoom(r *room) {
	h.vacant.Remove(r.vacancy)
	delete(h.rooms, r.name)
	h.ringBytes.Add(r.clear())
	if r.hasPresence() {
		h.outbox.AddRoom(r.name)
	}
}

// dropStep is how many rooms are dropped before the hub's lock is released for
// others.
const dropStep = 256

// dropVacant drops up to dropStep rooms that have long been without readers. It
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

// roomNames returns the names of all rooms of the hub as a set.
func (h *Hub) roomNames() map[string]struct{} {
	h.mu.RLock()
	defer h.mu.RUnlock()
	names := make(map[string]struct{}, len(h.rooms))
	for name := range h.rooms {
		names[name] = struct{}{}
	}
	return names
}
