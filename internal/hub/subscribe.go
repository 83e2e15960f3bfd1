package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
)

// errFull is returned to a reader for whom there is no room now.
var errFull = errors.New("the hub has reached its limit of streams")

// ErrClientFull is an errFull because of the client's own streams.
var ErrClientFull = fmt.Errorf("%w for one client", errFull)

// Subscription is what a reader asks for, and what it is granted.
type Subscription struct {
	Rooms []string // distinct
	// LastEventID is the id to resume after, as the client gave it, or empty.
	LastEventID string
	// Last is how many of the newest messages to begin with.
	Last int
	// Events asks for named events.
	Events bool
	// Native tells that a browser's own EventSource reads the stream, which
	// takes its starting point from an event that no script hears.
	Native bool
	// GivenName is the name that the configuration gives the reader, or empty.
	GivenName string
	presence.Identity

	Heartbeat    time.Duration
	WriteTimeout time.Duration
	MaxAge       time.Duration // 0 is none
	Group        *Group        // nil is none
	// Abort unblocks a write that is stuck. It may be called more than once.
	Abort func()
	// Unheard is [socket.Socket.Unheard] of the connection; nil if there is none.
	Unheard func() (since time.Duration, owed bool)

	MaxSubscribers int    // of the hub; 0 is no limit
	Client         string // whose subscribers maxPerClient limits; "" is not counted
	MaxPerClient   int    // 0 is no limit
}

// Subscribe makes a reader of some rooms. It must be closed. The error is
// [errFull], [ErrClientFull], [errTooManyRooms] or [ErrKicked].
func (h *Hub) Subscribe(sub *Subscription) (*Subscriber, error) {
	s := &Subscriber{
		hub:        h,
		seats:      make([]seat, len(sub.Rooms)),
		Wake:       make(chan struct{}, 1),
		group:      sub.Group,
		abort:      sub.Abort,
		unheard:    sub.Unheard,
		Identity:   sub.Shared(),
		Events:     sub.Events,
		interval:   wheel.Ticks(sub.Heartbeat),
		writeLimit: wheel.Ticks(sub.WriteTimeout),
	}
	s.jitter = jitter(s.interval)
	if h.kicks.holds(sub.Name) {
		return nil, ErrKicked
	}
	if err := h.admit(s, sub); err != nil {
		return nil, err
	}
	if err := h.seat(s, sub.Rooms); err != nil {
		h.dismiss(s)
		h.wheel.Run() // until the rooms that were made are gone
		return nil, err
	}
	if len(s.seats) == 1 {
		s.only = s.seats[0].room
	}
	// from here on every message newer than latest reaches a ring
	s.cursor = *h.latest.Load()
	if sub.LastEventID != "" || sub.Last > 0 || sub.Events || sub.Native {
		s.start = &startPoint{sub.LastEventID, sub.Last, sub.Heartbeat, sub.Native, sub.GivenName}
	}
	s.caughtUp = !sub.Events
	s.group.join()
	s.counted = h.Counts.open()
	now := h.wheel.Elapsed()
	s.wrote.Store(now)
	if sub.MaxAge > 0 {
		age := sub.MaxAge + time.Duration(rand.Float64()*0.1*float64(sub.MaxAge))
		s.endsAt = now + wheel.Ticks(age)
	}
	h.wheel.Add(&s.place, s)
	// whoever closes the hub or kicks the name now finds it in the wheel
	if reason := h.closing.Load(); reason != nil {
		s.End(*reason)
	}
	if h.kicks.holds(s.Name) {
		s.End(EndKicked)
	}
	return s, nil
}

// admit counts a subscriber, if there is room for it.
func (h *Hub) admit(s *Subscriber, sub *Subscription) error {
	h.clientMu.Lock()
	defer h.clientMu.Unlock()
	if sub.MaxSubscribers > 0 && h.Counts.Subscribers.Load() >= int64(sub.MaxSubscribers) {
		return errFull
	}
	// also where there is no limit now: the stream may outlive a reload that
	// sets one
	if s.client = sub.Client; s.client != "" {
		if sub.MaxPerClient > 0 && h.clients[s.client] >= sub.MaxPerClient {
			return ErrClientFull
		}
		h.clients[s.client]++
	}
	h.Counts.Subscribers.Add(1)
	return nil
}

func (h *Hub) dismiss(s *Subscriber) {
	h.clientMu.Lock()
	defer h.clientMu.Unlock()
	h.Counts.Subscribers.Add(-1)
	if s.client == "" {
		return
	}
	if h.clients[s.client]--; h.clients[s.client] == 0 {
		delete(h.clients, s.client)
	}
}
