package hub

import (
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Subscriber is one reader of a hub: its rooms, a cursor and a wake-up.
//
// One goroutine at a time writes for it, the writing goroutine: it calls Next,
// writes what that returns, and waits for Wake when there is nothing. Only that
// goroutine may touch fields that are neither atomic nor constant after
// [Hub.Subscribe], and call methods that say so; the other methods are safe for
// concurrent use.
type Subscriber struct {
	// Fields that every delivery touches come first and together, because each
	// cache line costs with many subscribers.

	// cursor is the newest id that was read; everything up to it was read.
	cursor store.ID
	// newest is the newest known message of the subscriber's rooms.
	newest store.ID
	only   *room // its room, if it reads only one
	// page is the store page that the subscriber reads while the rings do not reach
	// back to its cursor; nil while it reads from the rings. unread is the rest of
	// that page.
	page   *storePage
	unread []*store.Message
	// whole is up to where notices have to be whole, because the reader may lack what
	// they add to. Only used with Events.
	whole store.ID
	// start is where the client asked to begin; nil once the first read has
	// resolved it.
	start *startPoint
	ended atomic.Pointer[string] // reason; nil while the stream is open
	// pendingGap is the reason of a gap that the reader has not been told of; nil
	// if none.
	pendingGap atomic.Pointer[gapReason]

	// replayEnd is the newest id when the stream was opened: messages up to it are
	// counted as replayed. Zero if the stream began without a replay.
	replayEnd    store.ID
	deliveries   *deliveries  // counter shard for its messages
	messages     uint64       // messages sent
	sent         uint64       // bytes sent
	lastWrite    atomic.Int64 // tick at which the last write ended
	writingSince atomic.Int64 // tick at which the current write began; 0 if none
	beat         atomic.Bool  // set when a heartbeat is due
	// Events is whether the client asked for named events.
	Events  bool
	chunked bool                   // whether writes are chunks of an HTTP/1.1 body
	raw     bool                   // see [Subscription]
	ticket  atomic.Pointer[Ticket] // nil while a handler writes for it

	hub   *Hub
	seats []seat
	// Wake receives a value when Next may return something, or the stream has
	// ended. Only a handler waits for it; a parked subscriber signals its ticket
	// instead.
	Wake  chan struct{}
	group *Group
	abort func() // unblocks a handler's stuck write
	*presence.Identity
	client string // key in Hub.clients; "" if not counted
	// unacked asks the handler's connection; nil if there is none.
	unacked func() (since time.Duration, owed bool)

	// Fields for the wheel's Tick.
	place        wheel.Place[*Subscriber]
	interval     int64        // ticks between heartbeats
	jitter       int64        // ticks by which the next heartbeat deviates; used by tick only
	writeLimit   int64        // longest time for a write, in ticks
	endsAt       int64        // tick of the maximum age; 0 if none
	unackedSince int64        // tick of the oldest unacknowledged write; 0 if none
	ackedAt      int64        // tick at which everything was acknowledged; used by tick only, like unackedSince
	retryAt      atomic.Int64 // tick at which to read the store again; 0 if not waiting

	// reportedLost is the newest lost message of each room that the reader was told
	// of or has no interest in; nil if none.
	reportedLost []store.ID
	// caughtUp is set once the "live" event was sent, or is not wanted.
	caughtUp  bool
	ungrouped bool // it has left its group
}

// Park hands the subscriber over from the calling goroutine to whoever serves
// ticket t. The subscriber leaves its group, because a parked stream outlives its
// configuration. chunked is whether all that is written must be chunks of an
// HTTP/1.1 body.
func (s *Subscriber) Park(t *Ticket, chunked bool) {
	s.chunked = chunked
	s.leaveGroup()
	s.ticket.Store(t)
}

// parked reports whether the subscriber is parked.
func (s *Subscriber) parked() bool { return s.ticket.Load() != nil }

// leaveGroup removes the subscriber from its group. The writing goroutine calls it.
func (s *Subscriber) leaveGroup() {
	if !s.ungrouped {
		s.ungrouped = true
		s.group.leave()
	}
}

// End asks the writing goroutine to end the stream. Only the first reason counts.
// It does not wait.
func (s *Subscriber) End(reason string) {
	if s.ended.CompareAndSwap(nil, &reason) {
		s.signal()
	}
}

// Over returns the reason why the stream has ended, or "" while it is open.
func (s *Subscriber) Over() string {
	if reason := s.ended.Load(); reason != nil {
		return *reason
	}
	return ""
}

// signal wakes whoever writes for the subscriber.
func (s *Subscriber) signal() {
	if t := s.ticket.Load(); t != nil {
		t.Signal()
		return
	}
	wake.Up(s.Wake)
}

// abortWrite unblocks a stuck write.
func (s *Subscriber) abortWrite() {
	if t := s.ticket.Load(); t != nil {
		t.Stream.Abort()
		return
	}
	go s.abort()
}

// Touch reads a little of what NextNow needs, so that it is in the processor's cache
// then.
func (s *Subscriber) Touch() {
	s.ended.Load()
	s.lastWrite.Load()
	s.ticket.Load()
	s.retryAt.Load()
}

// RoomNames returns the names of the subscriber's rooms, in the order of
// [Subscription].Rooms.
func (s *Subscriber) RoomNames() []string {
	names := make([]string, len(s.seats))
	for i := range s.seats {
		names[i] = s.seats[i].room.name
	}
	return names
}

// Writing records that a write begins. The time limit for writes then runs until
// Written.
func (s *Subscriber) Writing() { s.writingSince.Store(s.hub.wheel.Now()) }

// MayStall calls Writing before a write that may block, unless an earlier write is
// still stalled, whose time goes on.
func (s *Subscriber) MayStall() {
	if s.writingSince.Load() == 0 {
		s.Writing()
	}
}

// Written records that a write has ended, and that n bytes went out. The writing
// goroutine calls it.
func (s *Subscriber) Written(n int) {
	s.sent += uint64(n)
	s.writingSince.Store(0)
	s.lastWrite.Store(s.hub.wheel.Now())
}

// Total returns how many messages and bytes were sent. The writing goroutine calls
// it.
func (s *Subscriber) Total() (messages, bytes uint64) { return s.messages, s.sent }
