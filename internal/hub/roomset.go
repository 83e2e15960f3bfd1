package hub

import (
	"sync"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
)

// roomSet collects rooms that need attention, each once. kind identifies the set
// among those that a room can be in. Its methods are safe for concurrent use.
type roomSet struct {
	kind  roomSetKind
	mu    sync.Mutex // guards rooms
	rooms []*room
}

type roomSetKind int

const (
	wakeSet     roomSetKind = iota // readers have to be woken for new messages
	tellSet                        // readers with named events have to be woken
	announceSet                    // presence has to be announced
	trimSet                        // the ring has to be trimmed
	roomSetKinds
)

func (set *roomSet) add(r *room) {
	if r.in[set.kind].CompareAndSwap(false, true) {
		set.mu.Lock()
		set.rooms = append(set.rooms, r)
		set.mu.Unlock()
	}
}

// take empties the set and returns its rooms, which may be added again from now on.
// The set reuses buf for the next ones.
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

// departures are the rooms that readers have left a moment ago, the oldest first.
// All wait equally long. Its methods are safe for concurrent use.
type departures struct {
	mu    sync.Mutex // guards queue
	queue []departure
}

type departure struct {
	at   int64 // tick at which the departed are no longer counted
	room *room
}

// add records that a reader left a room at a tick.
func (d *departures) add(r *room, now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, departure{now + presence.LeaveAfter, r})
}

// due removes and returns the departures whose time has come.
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
