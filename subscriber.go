package ssechat

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Why a stream ended, as operators and readers are told.
const (
	endClient = "client"
	endSlow   = "slow"
	endReload = "reload"
	endExit   = "exit"
	endMaxAge = "max_age"
	endKicked = "kicked"
	endError  = "error"
)

var endReasons = []string{endClient, endSlow, endReload, endExit, endMaxAge, endKicked, endError}

// subscription is what a reader asks for, and what it is granted.
type subscription struct {
	rooms []string // distinct
	// lastEventID is the id to resume after, as the client gave it, or empty.
	lastEventID string
	// last is how many of the newest messages to begin with.
	last int
	// events asks for named events.
	events bool
	// name is the author's name, or empty.
	name string
	// isNamed is set if the name is the configuration's.
	isNamed bool

	heartbeat    time.Duration
	writeTimeout time.Duration
	maxAge       time.Duration // 0 is none
	group        *group        // nil is none
	// abort unblocks a write that is stuck. It may be called more than once.
	abort func()
	// unheard is [socket.Unheard] of the connection; nil if there is none.
	unheard func() (since time.Duration, owed bool)

	maxSubscribers int    // of the hub; 0 is no limit
	client         string // whose subscribers maxPerClient limits
	maxPerClient   int    // 0 is no limit
}

// subscriber is one reader of a hub: its rooms, a cursor and a wake-up.
//
// One goroutine at a time writes for it: it calls next, writes what that
// returns, and when that is nothing waits for wake. Only this goroutine touches
// what is neither atomic nor set for good by subscribe. Everything else may be
// called at any time.
type subscriber struct {
	// What every delivery touches comes first, so that it is in few cache
	// lines: with many readers each of them costs.

	// cursor is the id up to which everything was read.
	cursor store.ID
	// newest is the newest message of its rooms that it knows of.
	newest store.ID
	only   *room // if it reads a single one
	// deep is set while the store has messages for it that the rings lack.
	deep *deepRead
	// start is what the reader asked for, until its first read.
	start *startPoint
	ended atomic.Pointer[string] // why
	// missed is what the reader has to be told of, or nil.
	missed atomic.Pointer[gapReason]

	// replayEnd is the newest message that is older than the stream, if it
	// began with a replay.
	replayEnd    store.ID
	counted      *deliveries  // where its messages are counted
	messages     uint64       // that were sent
	sent         uint64       // bytes
	wrote        atomic.Int64 // when the last write ended, in ticks
	writingSince atomic.Int64 // when the current write began, in ticks; 0 is none
	beat         atomic.Bool  // a heartbeat is due
	events       bool
	parked       atomic.Pointer[parked] // nil as long as a handler writes for it

	broker *broker
	seats  []seat
	wake   chan struct{}
	group  *group
	abort  func()
	name   string
	client string // counted in broker.clients if not empty
	// unheard asks the connection, as long as a handler writes.
	unheard func() (since time.Duration, owed bool)

	// for the wheel
	place      place
	interval   int64        // between heartbeats, in ticks
	jitter     int64        // of the next one; only tick touches it
	writeLimit int64        // in ticks
	endsAt     int64        // in ticks; 0 is never
	owes       int64        // since when the peer has acknowledged nothing of what it should, in ticks; 0 is not at all
	heard      int64        // when it had acknowledged all, in ticks; only tick touches both
	retryAt    atomic.Int64 // when to try the store again, in ticks; 0 is not

	// told is what its rooms have lost, as far as it was told or does not care.
	told []store.ID
	// caughtUp is set once the first replay is over.
	caughtUp bool
	alone    bool // not in its group any more
}

// startPoint is where a reader wants to begin.
type startPoint struct {
	lastEventID string
	last        int
	heartbeat   time.Duration
	you         string // the name that the configuration gives the reader, or empty
}

// subscribe makes a reader of some rooms. It must be closed. The error is
// [errFull], [errTooManyRooms] or [errKicked].
func (b *broker) subscribe(sub *subscription) (*subscriber, error) {
	s := &subscriber{
		broker:     b,
		seats:      make([]seat, len(sub.rooms)),
		wake:       make(chan struct{}, 1),
		group:      sub.group,
		abort:      sub.abort,
		unheard:    sub.unheard,
		name:       sub.name,
		events:     sub.events,
		interval:   ticks(sub.heartbeat),
		writeLimit: ticks(sub.writeTimeout),
	}
	if b.kicks.holds(sub.name) {
		return nil, errKicked
	}
	if err := b.admit(s, sub); err != nil {
		return nil, err
	}
	if err := b.seat(s, sub.rooms); err != nil {
		b.dismiss(s)
		return nil, err
	}
	if len(s.seats) == 1 {
		s.only = s.seats[0].room
	}
	// from here on every message newer than latest reaches a ring
	s.cursor = *b.latest.Load()
	if sub.lastEventID != "" || sub.last > 0 || sub.events {
		s.start = &startPoint{lastEventID: sub.lastEventID, last: sub.last, heartbeat: sub.heartbeat}
		if sub.isNamed {
			s.start.you = sub.name
		}
	}
	s.caughtUp = !sub.events
	s.group.join()
	s.counted = b.counts.open()
	now := b.wheel.elapsed()
	s.wrote.Store(now)
	if sub.maxAge > 0 {
		age := sub.maxAge + time.Duration(rand.Float64()*0.1*float64(sub.maxAge))
		s.endsAt = now + ticks(age)
	}
	b.wheel.add(s, b.tick)
	// whoever closes the hub or kicks the name now finds it in the wheel
	if reason := b.closing.Load(); reason != nil {
		s.end(*reason)
	}
	if b.kicks.holds(s.name) {
		s.end(endKicked)
	}
	return s, nil
}

// admit counts a subscriber, if there is room for it.
func (b *broker) admit(s *subscriber, sub *subscription) error {
	b.clientMu.Lock()
	defer b.clientMu.Unlock()
	if sub.maxSubscribers > 0 && b.counts.subscribers.Load() >= int64(sub.maxSubscribers) {
		return errFull
	}
	if sub.maxPerClient > 0 {
		if b.clients[sub.client] >= sub.maxPerClient {
			return errFull
		}
		b.clients[sub.client]++
		s.client = sub.client
	}
	b.counts.subscribers.Add(1)
	return nil
}

func (b *broker) dismiss(s *subscriber) {
	b.clientMu.Lock()
	defer b.clientMu.Unlock()
	b.counts.subscribers.Add(-1)
	if s.client == "" {
		return
	}
	if b.clients[s.client]--; b.clients[s.client] == 0 {
		delete(b.clients, s.client)
	}
}

// close takes the subscriber out of the hub. The writing goroutine calls it
// last, once. A stream that nobody has ended failed.
func (s *subscriber) close() {
	s.end(endError)
	s.broker.counts.closed.add(s.over())
	s.broker.wheel.remove(s)
	s.broker.unseat(s)
	s.broker.dismiss(s)
	s.leaveGroup()
}

// leaveGroup takes the subscriber out of its group, with which it no longer
// ends. The writing goroutine calls it.
func (s *subscriber) leaveGroup() {
	if !s.alone {
		s.alone = true
		s.group.leave()
	}
}

// end asks the writing goroutine to stop, for a reason. Only the first reason
// counts.
func (s *subscriber) end(reason string) {
	if s.ended.CompareAndSwap(nil, &reason) {
		s.signal()
	}
}

// over returns why the stream has ended, or "".
func (s *subscriber) over() string {
	if reason := s.ended.Load(); reason != nil {
		return *reason
	}
	return ""
}

// signal has whoever writes for the subscriber look at it.
func (s *subscriber) signal() {
	if p := s.parked.Load(); p != nil {
		p.signal()
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// cut unblocks a write that is stuck.
func (s *subscriber) cut() {
	if p := s.parked.Load(); p != nil {
		p.abort()
		return
	}
	go s.abort()
}

// writing and written enclose each write for the subscriber, of which n bytes
// went out.
func (s *subscriber) writing() { s.writingSince.Store(s.broker.wheel.now()) }

func (s *subscriber) written(n int) {
	s.sent += uint64(n)
	s.writingSince.Store(0)
	s.wrote.Store(s.broker.wheel.now())
}

// delivered counts a batch that was written.
func (s *subscriber) delivered(out batch) {
	if out.messages == 0 {
		return
	}
	s.messages += uint64(out.messages)
	s.counted.delivered.Add(uint64(out.messages))
	if out.replayed > 0 {
		s.counted.replayed.Add(uint64(out.replayed))
	}
}
