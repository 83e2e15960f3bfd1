package ssechat

import (
	"errors"
	"sync"
	"time"
)

// errTooManyRooms is returned to a reader of a new room when the hub can have
// no more.
var errTooManyRooms = errors.New("the hub has as many rooms as it may have, and all of them have readers")

const (
	// vacantFor is how long a room without readers keeps its ring, because
	// readers who lost their connection come back.
	// A minute later it is gone, with what looking after it takes.
	vacantFor = 550 // ticks
	tidyEvery = 20  // ticks
)

// seat gives a subscriber its seats, all or none.
func (b *broker) seat(s *subscriber, names []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, name := range names {
		r := b.roomFor(name)
		if r == nil {
			b.rise(s.seats[:i])
			return errTooManyRooms
		}
		s.seats[i].sub, s.seats[i].room = s, r
		r.sit(&s.seats[i])
		if r.vacancy != nil {
			b.vacant.Remove(r.vacancy)
			r.vacancy = nil
		}
		b.changed(r)
	}
	return nil
}

// roomFor returns the room of that name, made if need be, or nil if there can
// be no more.
func (b *broker) roomFor(name string) *room {
	if r := b.rooms[name]; r != nil {
		return r
	}
	if len(b.rooms) >= b.limits.Rooms {
		first := b.vacant.Front()
		if first == nil {
			return nil
		}
		b.dropRoom(first.Value.(*room))
	}
	// whatever was stored before now, this ring lacks
	r := &room{name: name, floor: *b.latest.Load()}
	b.rooms[name] = r
	r.presence.setOthers(b.peers.in(name, time.Now()))
	return r
}

func (b *broker) unseat(s *subscriber) {
	b.mu.Lock()
	b.rise(s.seats)
	b.mu.Unlock()
	b.wheel.run(b.tick) // until the rooms are gone
}

func (b *broker) rise(seats []seat) {
	now := b.wheel.elapsed()
	for i := range seats {
		r := seats[i].room
		vacant, pending := r.rise(&seats[i], now)
		if vacant {
			r.vacancy = b.vacant.PushBack(r)
			r.vacated = now
		}
		if pending {
			b.departures.add(r, now)
		} else {
			b.changed(r)
		}
	}
}

// changed has watchers and peers told who is in a room now.
func (b *broker) changed(r *room) {
	b.restless.add(r)
	b.outbox.addRoom(r.name)
}

// roomsRead returns how many rooms have readers.
func (b *broker) roomsRead() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.rooms) - b.vacant.Len()
}

// dropRoom forgets a room without readers. If it is dropped early, somebody may
// still be counted there, which ends now.
func (b *broker) dropRoom(r *room) {
	b.vacant.Remove(r.vacancy)
	delete(b.rooms, r.name)
	b.ringBytes.Add(r.clear())
	if r.counted() {
		b.outbox.addRoom(r.name)
	}
}

// tick does what is due for no single subscriber. It reports whether there is
// more to wait for.
func (b *broker) tick(now int64) (wait bool) {
	for _, d := range b.departures.due(now) {
		d.room.seatMu.Lock()
		d.room.presence.depart(now)
		d.room.seatMu.Unlock()
		// by its name, because the room may have been dropped and made anew
		b.changed(d.room)
	}
	for _, r := range b.restless.take(nil) {
		if r.tellPresence(now) {
			b.restless.add(r)
		}
	}
	if now-b.tidied >= tidyEvery {
		b.tidied = now
		b.tidy(now)
		b.expirePeers()
	}
	untold := b.outbox.tick(now)
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.closing.Load() == nil && (untold || len(b.rooms) > 0)
}

// tidy trims rings that were full in a flood, and drops rooms that were
// without readers for long.
func (b *broker) tidy(now int64) {
	nowMs := time.Now().UnixMilli()
	for _, r := range b.swollen.take(nil) {
		grown, swollen := r.trim(&b.sizes, b.ringBytes.Load(), nowMs)
		b.ringBytes.Add(grown)
		if swollen {
			b.swollen.add(r)
		}
	}
	for b.dropVacant(now) {
	}
}

// dropStep is how many rooms are dropped before others get the hub's lock.
const dropStep = 256

// dropVacant drops some of the rooms that were without readers for long, and
// reports whether there may be more.
func (b *broker) dropVacant(now int64) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range dropStep {
		first := b.vacant.Front()
		if first == nil || now-first.Value.(*room).vacated < vacantFor {
			return false
		}
		b.dropRoom(first.Value.(*room))
		if len(b.rooms) == 0 {
			b.rooms = make(map[string]*room) // a map never shrinks
		}
	}
	return true
}

// endGroup ends the streams of a group, for a reason, but for those that are
// parked: nothing binds them to a configuration.
func (b *broker) endGroup(g *group, reason string) {
	b.wheel.each(func(s *subscriber) {
		if s.group == g && s.parked.Load() == nil {
			s.end(reason)
		}
	})
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
