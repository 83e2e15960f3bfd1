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
	vacantFor = 600 // ticks
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
		b.restless.add(r)
		b.untold.add(r)
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
	b.departures.add(departure{at: b.wheel.elapsed() + leaveAfter, name: s.name, seats: s.seats})
}

func (b *broker) rise(seats []seat) {
	for i := range seats {
		r := seats[i].room
		if r.rise(&seats[i]) {
			r.vacancy = b.vacant.PushBack(r)
			r.vacated = b.wheel.elapsed()
		}
	}
}

// roomsRead returns how many rooms have readers.
func (b *broker) roomsRead() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.rooms) - b.vacant.Len()
}

func (b *broker) dropRoom(r *room) {
	b.vacant.Remove(r.vacancy)
	delete(b.rooms, r.name)
	b.ringBytes.Add(r.clear())
}

// tick does what is due for no single subscriber. It reports whether there is
// more to wait for.
func (b *broker) tick(now int64) (wait bool) {
	for _, d := range b.departures.due(now) {
		for i := range d.seats {
			r := d.seats[i].room
			r.seatMu.Lock()
			r.presence.depart(d.name)
			r.seatMu.Unlock()
			b.restless.add(r)
			b.untold.add(r)
		}
	}
	b.talk(now)
	for _, r := range b.restless.take(nil) {
		if r.tellPresence(now) {
			b.restless.add(r)
		}
	}
	if now-b.tidied >= tidyEvery {
		b.tidied = now
		b.tidy(now)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.closing.Load() == nil && len(b.rooms) > 0
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

	b.mu.Lock()
	defer b.mu.Unlock()
	for first := b.vacant.Front(); first != nil; first = b.vacant.Front() {
		r := first.Value.(*room)
		if now-r.vacated < vacantFor {
			return
		}
		b.dropRoom(r)
		if len(b.rooms) == 0 {
			b.rooms = make(map[string]*room) // a map never shrinks
		}
	}
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
	untoldSet                      // readers of whom the peers were not told
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
