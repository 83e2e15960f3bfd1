package hub

import (
	"math"
	"slices"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Follower follows the log of all rooms. The rules of [store.Hub] apply to its methods:
// they are called in the order of the log, and must neither block nor call the hub or its
// store.
type Follower interface {
	// Delivered passes on messages that are now stored.
	Delivered([]*store.Message)
	// Changed passes on a message as it is now. at is the revision.
	Changed(now *store.Message, at store.ID)
	// Deleted reports that a message was deleted, at a revision.
	Deleted(room string, id, at store.ID)
	// Forgotten reports that all messages of a room up to through are gone. at is the
	// revision, or zero if they were lost and not forgotten.
	Forgotten(room string, through, at store.ID)
	// Missed reports that some entries may not be passed on: entries up to latest, which
	// the store may or may not have, or newer ones, which it no longer has. rollback is set
	// if the log itself has lost messages.
	Missed(latest store.ID, rollback bool)
}

// Follow calls a follower for everything that is stored from now on, until [Hub.Unfollow].
// It returns the id of the last entry before that. Entries up to it can be read from the
// store.
func (h *Hub) Follow(f Follower) store.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.followers = append(h.followers, f)
	return *h.latest.Load()
}

// Unfollow ends the calls of a follower. It does nothing for one that does not follow.
func (h *Hub) Unfollow(f Follower) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.followers = slices.DeleteFunc(h.followers, func(other Follower) bool { return other == f })
}

// Deliver implements [store.Hub].
func (h *Hub) Deliver(messages []*store.Message) {
	// a room that appeared between its lookup and the advance would lack messages
	// that its floor says it has
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, m := range messages {
		if r := h.rooms[m.Room]; r != nil {
			grown, oversized := r.push(m, &h.sizes, h.ringBytes.Load())
			h.ringBytes.Add(grown)
			h.Pace.PublishedBytes.Add(int64(len(m.Frame())))
			if oversized {
				h.toTrim.add(r)
			}
		}
	}
	h.advance(messages[len(messages)-1].ID)
	for _, f := range h.followers {
		f.Delivered(messages)
	}
	// only after the advance, because a reader of several rooms reads no further
	// than latest
	for _, m := range messages {
		if r := h.rooms[m.Room]; r != nil {
			h.toWake.add(r)
		}
	}
	wake.Up(h.wake)
}

// Changed implements [store.Hub].
func (h *Hub) Changed(now, delta *store.Message) {
	h.tell(now.Room, delta.ID, func(r *room) (int64, bool) {
		h.Pace.PublishedBytes.Add(int64(len(delta.Frame())))
		return r.change(now, delta, &h.sizes, h.ringBytes.Load())
	}, func(f Follower) { f.Changed(now, delta.ID) })
}

// Deleted implements [store.Hub].
func (h *Hub) Deleted(name string, id, at store.ID) {
	h.pages.Forget()
	h.tell(name, at, func(r *room) (int64, bool) { return r.delete(id, at, &h.sizes, h.ringBytes.Load()) },
		func(f Follower) { f.Deleted(name, id, at) })
}

// Forgotten implements [store.Hub].
func (h *Hub) Forgotten(name string, through, at store.ID) {
	h.pages.Forget()
	h.tell(name, at, func(r *room) (int64, bool) { return r.forget(through, at, &h.sizes, h.ringBytes.Load()) },
		func(f Follower) { f.Forgotten(name, through, at) })
}

// tell makes a change in the rings of a room, as [room.change] does, and then tells the
// followers and the readers with named events. at is the id of the change, or zero.
func (h *Hub) tell(name string, at store.ID, change func(*room) (grown int64, oversized bool), follow func(Follower)) {
	h.mu.RLock() // as in Deliver
	defer h.mu.RUnlock()
	r := h.rooms[name]
	if r != nil {
		grown, oversized := change(r)
		h.ringBytes.Add(grown)
		if oversized {
			h.toTrim.add(r)
		}
	}
	h.advance(at)
	for _, f := range h.followers {
		follow(f)
	}
	if r != nil {
		h.toTell.add(r)
		wake.Up(h.wake)
	}
}

// advance moves latest forward to id, never back.
func (h *Hub) advance(id store.ID) {
	for {
		old := h.latest.Load()
		if !id.After(*old) || h.latest.CompareAndSwap(old, &id) {
			return
		}
	}
}

// dispatch wakes the readers of rooms with news, so that publishers do not have to. Rooms
// that are added during a round are served in the next one.
func (h *Hub) dispatch() {
	var rooms, told []*room
	round := h.Pace.dispatchRound()
	for {
		select {
		case <-h.wake:
		case <-h.done:
			return
		}
		rooms = h.toWake.take(rooms)
		round.Begin(h.Pace.PublishedBytes.Load())
		for _, r := range rooms {
			h.wakeAll(r, false)
		}
		told = h.toTell.take(told)
		for _, r := range told {
			h.wakeAll(r, true)
		}
		round.End()
		clear(rooms)
		clear(told)
	}
}

// wakeAll wakes the readers of a room, or only those with named events. A panic affects
// that room only.
func (h *Hub) wakeAll(r *room, watchers bool) {
	defer contain.Panic("waking readers", func() {})
	r.wakeAll(h.Pace, watchers)
}

// wakeEvery is how many handlers are woken before dispatch yields the core. With
// many more in the scheduler's run queue, each goroutine hop of their HTTP/2 writes
// would wait for all others, and so would publishers.
const wakeEvery = 2

// wakeAll wakes all readers, or those with named events, from last to first. A reader
// that leaves meanwhile is replaced by the last one, which moves towards the front, so none
// is skipped. A reader that comes meanwhile reads before it waits.
func (r *room) wakeAll(p *Pace, watchers bool) {
	published := p.PublishedBytes.Load()
	end := math.MaxInt
	for step := 1; ; step++ {
		if end = r.wakeSome(end, watchers); end == 0 {
			return
		}
		p.pause(step, published)
	}
}

// wakeSome wakes readers, or watchers, below index end and returns the index at which it
// stopped.
func (r *room) wakeSome(end int, watchers bool) int {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	handlers := 0
	i := min(end, len(r.readers))
	if watchers {
		i = min(end, len(r.watchers))
	}
	for i > 0 && handlers < wakeEvery {
		i--
		sub := r.readers[i].sub
		if watchers {
			sub = r.watchers[i].sub
		}
		sub.signal()
		if !sub.parked() {
			handlers++
		}
	}
	return i
}
