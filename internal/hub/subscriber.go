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
// One goroutine at a time writes for it: it calls next, writes what that
// returns, and when that is nothing waits for wake. Only this goroutine touches
// what is neither atomic nor set for good by subscribe. Everything else may be
// called at any time.
type Subscriber struct {
	// What every delivery touches comes first, so that it is in few cache
	// lines: with many readers each of them costs.

	// cursor is the id up to which everything was read.
	cursor store.ID
	// newest is the newest message of its rooms that it knows of.
	newest store.ID
	only   *room // if it reads a single one
	// deep is set while the store has messages for it that the rings lack, and
	// unread is what the reader has not had of that page.
	page   *storePage
	unread []*store.Message
	// start is what the reader asked for, until its first read.
	start *startPoint
	ended atomic.Pointer[string] // why
	// missed is what the reader has to be told of, or nil.
	pendingGap atomic.Pointer[gapReason]

	// replayEnd is the newest message that is older than the stream, if it
	// began with a replay.
	replayEnd    store.ID
	deliveries   *deliveries  // where its messages are counted
	messages     uint64       // that were sent
	sent         uint64       // bytes
	lastWrite    atomic.Int64 // when the last write ended, in ticks
	writingSince atomic.Int64 // when the current write began, in ticks; 0 is none
	beat         atomic.Bool  // a heartbeat is due
	Events       bool
	chunked      bool                   // what is written is chunks of an HTTP/1.1 body
	ticket       atomic.Pointer[Ticket] // nil as long as a handler writes for it

	hub   *Hub
	seats []seat
	Wake  chan struct{}
	group *Group
	abort func()
	*presence.Identity
	client string // counted in broker.clients if not empty
	// unheard asks the connection, as long as a handler writes.
	unacked func() (since time.Duration, owed bool)

	// for the wheel
	place        wheel.Place[*Subscriber]
	interval     int64        // between heartbeats, in ticks
	jitter       int64        // of the next one; only tick touches it
	writeLimit   int64        // in ticks
	endsAt       int64        // in ticks; 0 is never
	unackedSince int64        // since when the peer has acknowledged nothing of what it should, in ticks; 0 is not at all
	ackedAt      int64        // when it had acknowledged all, in ticks; only tick touches both
	retryAt      atomic.Int64 // when to try the store again, in ticks; 0 is not

	// told is what its rooms have lost, as far as it was told or does not care.
	reportedLost []store.ID
	// caughtUp is set once the first replay is over.
	caughtUp  bool
	ungrouped bool // not in its group any more
}

// Close takes the subscriber out of the hub. The writing goroutine calls it
// last, once. A stream that nobody has ended failed.
func (s *Subscriber) Close() {
	s.End(EndError)
	s.hub.Counts.Closed.Add(s.Over())
	s.hub.wheel.Remove(&s.place)
	s.hub.leaveRooms(s)
	s.hub.dismiss(s)
	s.leaveGroup()
}

// Park has the subscriber served by whoever takes its ticket from now on, instead
// of by the goroutine that calls it. The subscriber leaves its group, because
// nothing binds it to a configuration any more. chunked tells that what is written
// has to be chunks of an HTTP/1.1 body.
func (s *Subscriber) Park(t *Ticket, chunked bool) {
	s.chunked = chunked
	s.leaveGroup()
	s.ticket.Store(t)
}

// parked reports whether the subscriber is parked.
func (s *Subscriber) parked() bool { return s.ticket.Load() != nil }

// leaveGroup takes the subscriber out of its group, with which it no longer
// ends. The writing goroutine calls it.
func (s *Subscriber) leaveGroup() {
	if !s.ungrouped {
		s.ungrouped = true
		s.group.leave()
	}
}

// End asks the writing goroutine to stop, for a reason. Only the first reason
// counts.
func (s *Subscriber) End(reason string) {
	if s.ended.CompareAndSwap(nil, &reason) {
		s.signal()
	}
}

// Over returns why the stream has ended, or "".
func (s *Subscriber) Over() string {
	if reason := s.ended.Load(); reason != nil {
		return *reason
	}
	return ""
}

// signal has whoever writes for the subscriber look at it.
func (s *Subscriber) signal() {
	if t := s.ticket.Load(); t != nil {
		t.Signal()
		return
	}
	wake.Up(s.Wake)
}

// cut unblocks a write that is stuck.
func (s *Subscriber) abortWrite() {
	if t := s.ticket.Load(); t != nil {
		t.Stream.Abort()
		return
	}
	go s.abort()
}

// RoomNames returns the names of the subscriber's rooms.
func (s *Subscriber) RoomNames() []string {
	names := make([]string, len(s.seats))
	for i := range s.seats {
		names[i] = s.seats[i].room.name
	}
	return names
}

// Writing and written enclose each write for the subscriber, of which n bytes
// went out.
func (s *Subscriber) Writing() { s.writingSince.Store(s.hub.wheel.Now()) }

// MayStall is writing for a write that may block, unless one is stalled already.
func (s *Subscriber) MayStall() {
	if s.writingSince.Load() == 0 {
		s.Writing()
	}
}

func (s *Subscriber) Written(n int) {
	s.sent += uint64(n)
	s.writingSince.Store(0)
	s.lastWrite.Store(s.hub.wheel.Now())
}

// Total returns how many messages and bytes the subscriber was sent. The writing
// goroutine calls it.
func (s *Subscriber) Total() (messages, bytes uint64) { return s.messages, s.sent }
