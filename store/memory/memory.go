// Package memory keeps a hub's messages in memory. They are lost when the process
// ends.
package memory

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// Store is a [store.Store] in memory. It ignores contexts, because no call waits.
// Its methods may be called by several goroutines at the same time.
type Store struct {
	hub    store.Hub
	origin store.ID
	now    func() time.Time

	mu     sync.RWMutex // guards all below
	limits store.Limits
	clock  store.Clock
	rooms  map[string]*room
	idle   idle.Order[*room] // the rooms with messages
	empty  idle.Order[*room] // the others
	byAge  byAge             // the rooms that hold messages
	nonces nonces
	size   int // bytes of all rooms
	peak   int // the most rooms that the map has held since it was made
	// lost is the newest message of all dropped rooms. Any room that the store
	// does not hold may have lost that message.
	lost store.ID
	// unknown is the newest revision of all dropped rooms, likewise. Only readers who ask
	// for changes need to know of it.
	unknown store.ID
	none    store.Log   // stays empty: the log of a room that the store does not hold
	hollow  bool        // some room may be empty
	sweep   *time.Timer // nil while nothing can expire
	closed  bool
}

// Open returns an empty store whose log begins now.
func Open(hub store.Hub, limits store.Limits) *Store { return open(hub, limits, time.Now) }

func open(hub store.Hub, limits store.Limits, now func() time.Time) *Store {
	s := &Store{hub: hub, now: now, rooms: make(map[string]*room)}
	s.origin = s.clock.Next(now().UnixMilli())
	s.Limit(limits)
	return s
}

// Append implements [store.Store].
func (s *Store) Append(_ context.Context, name string, drafts []store.Draft) ([]store.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	now := s.now()
	s.nonces.expire(now)

	room, err := s.room(name)
	if err != nil {
		return nil, err
	}
	receipts := make([]store.Receipt, len(drafts))
	stored := make([]*store.Message, 0, len(drafts))
	for i, draft := range drafts {
		if receipts[i] = s.nonces.find(room.name, draft.Owner, draft.Nonce); receipts[i].Repeat {
			continue
		}
		// clone the owner, because it may be a slice of a whole request
		draft.Owner = store.Owner(strings.Clone(string(draft.Owner)))
		m := store.NewMessage(s.clock.Next(now.UnixMilli()), room.name, draft)
		s.push(room, m)
		s.hollow = s.hollow || room.log.Len() == 0
		s.nonces.add(draft, m, now)
		receipts[i] = store.Receipt{ID: m.ID, Message: m}
		stored = append(stored, m)
	}
	if len(stored) > 0 {
		s.order(room).Published(room.idle)
		s.hub.Deliver(stored)
		s.bound(room)
		s.sweepLater()
	}
	return receipts, nil
}

func (s *Store) push(r *room, m *store.Message) {
	s.change(r, func(r *room) { r.push(m, s.limits.Count) })
	if r.place < 0 && r.log.Len() > 0 {
		s.byAge.add(r)
	}
}

// room returns the room called name, and creates it if it does not exist.
func (s *Store) room(name string) (*room, error) {
	if r := s.rooms[name]; r != nil {
		return r, nil
	}
	if len(s.rooms) >= s.limits.Rooms {
		r, found := s.idlest(nil)
		if !found {
			return nil, store.ErrTooManyRooms
		}
		s.drop(r)
	}
	// clone the name, because it may be a slice of a whole request
	r := &room{name: strings.Clone(name), lost: s.lost, empty: true, place: -1, revisions: revisions.NewList(s.unknown)}
	s.rooms[r.name] = r
	s.peak = max(s.peak, len(s.rooms))
	s.size += r.size()
	r.idle = s.order(r).Add(r)
	return r, nil
}

// idlest returns the room to drop, see [idle.Order.Longest]: an empty one, if there is
// one without readers. It is never the room except, which may be nil.
func (s *Store) idlest(except *room) (*room, bool) {
	judge := func(r *room) idle.Verdict {
		if r == except || s.hub.Reading(r.name) {
			return idle.Keep
		}
		return idle.Drop
	}
	if r, found := s.empty.Longest(judge); found {
		return r, true
	}
	return s.idle.Longest(judge)
}

// order returns the order that a room is in.
func (s *Store) order(r *room) *idle.Order[*room] {
	if r.empty {
		return &s.empty
	}
	return &s.idle
}

// drop removes a room with its messages.
func (s *Store) drop(r *room) {
	if n := r.log.Len(); n > 0 {
		r.lost = r.log.At(n - 1).ID
	}
	s.lost, s.unknown = store.Newest(s.lost, r.lost), store.Newest(s.unknown, r.revisions.Newest())
	s.order(r).Remove(r.idle)
	s.byAge.remove(r)
	delete(s.rooms, r.name)
	s.size -= r.size()
	s.shrink()
}

// Find implements [store.Store].
func (s *Store) Find(_ context.Context, room string, owner store.Owner, nonce string) (store.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.Receipt{}, store.ErrClosed
	}
	s.nonces.expire(s.now())
	return s.nonces.find(room, owner, nonce), nil
}

// Limit implements [store.Store].
func (s *Store) Limit(limits store.Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if limits.Size == 0 {
		limits.Size = DefaultSize()
	}
	s.limits = limits
	for _, r := range s.rooms {
		s.change(r, func(r *room) {
			r.trim(limits.Count)
			r.revisions.Limit(limits.Count, r.lost)
		})
		s.hollow = s.hollow || r.log.Len() == 0
	}
	for len(s.rooms) > limits.Rooms {
		r, found := s.idlest(nil)
		if !found {
			break
		}
		s.drop(r)
	}
	s.bound(nil)
	if s.sweep != nil {
		s.sweep.Stop()
		s.sweep = nil
	}
	s.sweepLater()
}

// State implements [store.Store].
func (s *Store) State() store.State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return store.State{Origin: s.origin, Latest: s.clock.Last()}
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.sweep != nil {
		s.sweep.Stop()
	}
	s.rooms, s.byAge, s.nonces = nil, nil, nonces{}
	s.idle, s.empty = idle.Order[*room]{}, idle.Order[*room]{}
	return nil
}
