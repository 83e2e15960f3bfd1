package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
)

// errFull is returned when the hub has MaxSubscribers streams.
var errFull = errors.New("the hub has reached its limit of streams")

// ErrClientFull is returned when the client has MaxPerClient streams. It wraps
// errFull.
var ErrClientFull = fmt.Errorf("%w for one client", errFull)

// Subscription is what a client asks for and what it is granted.
type Subscription struct {
	Rooms []string // distinct names
	// LastEventID is the client's Last-Event-ID, unchecked; "" if none.
	LastEventID string
	// Last is how many of the newest messages to begin with, if there is no
	// LastEventID.
	Last int
	// Events asks for named events, such as presence and changes of messages.
	Events bool
	// Native is set for a browser's own EventSource. It gets the id to resume from
	// in an event that scripts do not see.
	Native bool
	// Raw asks for messages without an envelope, see [store.RawFrames].
	Raw bool
	// You is what the first named event tells the reader of itself.
	You You
	presence.Identity

	Heartbeat    time.Duration // interval between heartbeats, at least a tick
	WriteTimeout time.Duration // how long a write may stall, at least a tick
	MaxAge       time.Duration // 0 is no limit; up to a tenth is added
	Group        *Group        // nil for none
	// Abort unblocks a stuck write. It may be called more than once and by any
	// goroutine.
	Abort func()
	// Unacked is [socket.Socket.Unacked] of the connection; nil if there is none. It must
	// not block.
	Unacked func() (since time.Duration, owed bool)

	MaxSubscribers int    // of the whole hub; 0 is no limit
	Client         string // key for MaxPerClient; "" is not counted
	MaxPerClient   int    // 0 is no limit
}

// You is what the configuration says of a reader.
type You struct {
	// Name is the name that the configuration gives the reader, or "".
	Name string
	// Moderates is whether the reader may change the messages of others.
	Moderates bool
}

// Subscribe adds a reader to rooms. The caller must close it. The error is errFull,
// [ErrClientFull], errTooManyRooms or [ErrKicked].
func (h *Hub) Subscribe(sub *Subscription) (*Subscriber, error) {
	if h.kicks.Has(sub.Name) {
		return nil, ErrKicked
	}
	s := h.newSubscriber(sub)
	if err := h.admit(s, sub); err != nil {
		return nil, err
	}
	if err := h.enterRooms(s, sub.Rooms); err != nil {
		h.dismiss(s)
		h.wheel.Run() // so that the clock drops the rooms that were made
		return nil, err
	}
	if len(s.seats) == 1 {
		s.only = s.seats[0].room
	}
	// every message newer than latest now reaches a ring
	s.cursor = *h.latest.Load()
	s.group.join()
	s.deliveries = h.Counts.open()
	s.startClock(sub.MaxAge)
	// a Close or Kick that came earlier did not find the subscriber in the wheel
	if reason := h.closing.Load(); reason != nil {
		s.End(*reason)
	}
	if h.kicks.Has(s.Name) {
		s.End(EndKicked)
	}
	return s, nil
}

// newSubscriber returns a subscriber that is in no room yet.
func (h *Hub) newSubscriber(sub *Subscription) *Subscriber {
	s := &Subscriber{
		hub:        h,
		seats:      make([]seat, len(sub.Rooms)),
		Wake:       make(chan struct{}, 1),
		group:      sub.Group,
		abort:      sub.Abort,
		unacked:    sub.Unacked,
		Identity:   sub.Shared(),
		Events:     sub.Events,
		raw:        sub.Raw,
		caughtUp:   !sub.Events,
		interval:   wheel.Ticks(sub.Heartbeat),
		writeLimit: wheel.Ticks(sub.WriteTimeout),
	}
	s.jitter = jitter(s.interval)
	if sub.LastEventID != "" || sub.Last > 0 || sub.Events || sub.Native {
		s.start = &startPoint{sub.LastEventID, sub.Last, sub.Heartbeat, sub.Native, sub.You}
	}
	return s
}

// startClock starts the subscriber's time limits.
func (s *Subscriber) startClock(maxAge time.Duration) {
	now := s.hub.wheel.Elapsed()
	s.lastWrite.Store(now)
	if maxAge > 0 {
		age := maxAge + time.Duration(rand.Float64()*0.1*float64(maxAge))
		s.endsAt = now + wheel.Ticks(age)
	}
	s.hub.wheel.Add(&s.place, s)
}

// admit counts a subscriber, unless a limit is reached.
func (h *Hub) admit(s *Subscriber, sub *Subscription) error {
	h.clientMu.Lock()
	defer h.clientMu.Unlock()
	if sub.MaxSubscribers > 0 && h.Counts.Subscribers.Load() >= int64(sub.MaxSubscribers) {
		return errFull
	}
	// count even without a limit: the stream may outlive a reload that sets one
	if s.client = sub.Client; s.client != "" {
		if sub.MaxPerClient > 0 && h.clients[s.client] >= sub.MaxPerClient {
			return ErrClientFull
		}
		h.clients[s.client]++
	}
	h.people.Arrive(s.Person)
	h.Counts.Subscribers.Add(1)
	return nil
}

// dismiss undoes admit.
func (h *Hub) dismiss(s *Subscriber) {
	h.clientMu.Lock()
	defer h.clientMu.Unlock()
	h.Counts.Subscribers.Add(-1)
	h.people.Leave(s.Person, h.wheel.Elapsed())
	if s.client == "" {
		return
	}
	if h.clients[s.client]--; h.clients[s.client] == 0 {
		delete(h.clients, s.client)
	}
}

// Group is the streams of one handler, which [Hub.EndGroup] ends together. Parked
// streams do not belong to it. Its methods are safe for concurrent use. A
// subscriber may have a nil group.
type Group struct {
	mu      sync.Mutex // guards all below
	open    int
	drained func() // called when the last stream leaves
}

func (g *Group) join() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open++
}

func (g *Group) leave() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.open--
	drained := g.drained
	if g.open > 0 {
		drained = nil
	} else {
		g.drained = nil
	}
	g.mu.Unlock()
	if drained != nil {
		drained()
	}
}

// Drain calls drained once all streams of the group have ended, with the number
// that are open now. It does nothing if none is open.
func (g *Group) Drain(drained func(streams int)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if streams := g.open; streams > 0 {
		g.drained = func() { drained(streams) }
	}
}

// EndGroup ends the streams of a group for a reason, except for parked ones, which
// outlive their configuration.
func (h *Hub) EndGroup(g *Group, reason string) {
	h.wheel.Each(func(s *Subscriber) {
		if s.group == g && !s.parked() {
			s.End(reason)
		}
	})
}

// Close removes the subscriber from the hub. The writing goroutine calls it once,
// as its last call. A stream that was not ended before is counted as [EndError].
func (s *Subscriber) Close() {
	s.End(EndError)
	s.hub.Counts.Closed.Add(s.Over())
	s.hub.wheel.Remove(&s.place)
	s.hub.leaveRooms(s)
	s.hub.dismiss(s)
	s.leaveGroup()
}
