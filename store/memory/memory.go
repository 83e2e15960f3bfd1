// Package memory keeps a hub's messages in memory: fast, and gone with the
// process.
package memory

import (
	"container/list"
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Store is a [store.Store] in memory. What it stores is stored at once, so no
// call waits and no context is looked at.
type Store struct {
	hub    store.Hub
	origin store.ID
	now    func() time.Time

	mu     sync.RWMutex // guards all below
	limits store.Limits
	clock  store.Clock
	rooms  map[string]*room
	idle   list.List // the rooms, the one published to last in front
	byAge  byAge     // those rooms that hold messages
	nonces nonces
	size   int // bytes of all rooms
	peak   int // how many rooms the map was made for, or has held since
	// lost is the newest message that went with a dropped room. Of a room
	// that is not here, nobody knows better.
	lost   store.ID
	none   store.Log   // of a room that is not here
	hollow bool        // a room may hold nothing
	sweep  *time.Timer // set while there is anything that grows old
	closed bool
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
		m := store.NewMessage(s.clock.Next(now.UnixMilli()), room.name, draft)
		s.push(room, m)
		s.hollow = s.hollow || room.log.Len() == 0
		s.nonces.add(draft, m, now)
		receipts[i] = store.Receipt{ID: m.ID, Message: m}
		stored = append(stored, m)
	}
	if len(stored) > 0 {
		s.idle.MoveToFront(room.idle)
		s.hub.Deliver(stored)
		s.bound(room)
		s.sweepLater()
	}
	return receipts, nil
}

func (s *Store) push(r *room, m *store.Message) {
	before := r.log.Size()
	r.push(m, s.limits.Count)
	s.size += r.log.Size() - before
	if r.place < 0 && r.log.Len() > 0 {
		s.byAge.add(r)
	}
}

// room returns the room of that name, and makes it if need be.
func (s *Store) room(name string) (*room, error) {
	if r := s.rooms[name]; r != nil {
		return r, nil
	}
	if len(s.rooms) >= s.limits.Rooms {
		r := s.idlest(nil)
		if r == nil {
			return nil, store.ErrTooManyRooms
		}
		s.drop(r)
	}
	// a copy, because name may be a piece of a whole request
	r := &room{name: strings.Clone(name), lost: s.lost, place: -1}
	s.rooms[r.name] = r
	s.peak = max(s.peak, len(s.rooms))
	s.size += r.size()
	r.idle = s.idle.PushFront(r)
	return r, nil
}

// idlest returns the room that was idle longest among those without readers,
// but for one, or nil.
func (s *Store) idlest(except *room) *room {
	// a room that is being read is put aside, so that a store full of them
	// does not cost a walk over all for each message
	for range min(len(s.rooms), 256) {
		r := s.idle.Back().Value.(*room)
		if r != except && !s.hub.Reading(r.name) {
			return r
		}
		s.idle.MoveToFront(r.idle)
	}
	return nil
}

func (s *Store) drop(r *room) {
	if n := r.log.Len(); n > 0 {
		r.lost = r.log.At(n - 1).ID
	}
	s.lost = store.Newest(s.lost, r.lost)
	s.idle.Remove(r.idle)
	s.byAge.remove(r)
	delete(s.rooms, r.name)
	s.size -= r.size()
	s.shrink()
}

// Find implements [store.Store].
func (s *Store) Find(_ context.Context, room, owner, nonce string) (store.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.Receipt{}, store.ErrClosed
	}
	s.nonces.expire(s.now())
	return s.nonces.find(room, owner, nonce), nil
}

// After implements [store.Store].
func (s *Store) After(_ context.Context, span store.Span, limit int) (store.Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Page{}, store.ErrClosed
	}
	views, lost := s.views(span.Rooms, span.After, span.UpTo)
	page := store.Page{Lost: lost}
	for len(page.Messages) < limit {
		m := popOldest(views)
		if m == nil {
			return page, nil
		}
		page.Messages = append(page.Messages, m)
	}
	page.More = popOldest(views) != nil
	return page, nil
}

// Before implements [store.Store].
func (s *Store) Before(_ context.Context, room string, before store.ID, limit int) (store.Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Page{}, store.ErrClosed
	}
	views, lost := s.views([]string{room}, store.ID{}, before.Prev())
	v := views[0]
	page := store.Page{Lost: lost, More: v.len() > limit}
	for i := max(v.from, v.to-limit); i < v.to; i++ {
		page.Messages = append(page.Messages, v.log.At(i))
	}
	return page, nil
}

// Tail implements [store.Store].
func (s *Store) Tail(_ context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Tail{}, store.ErrClosed
	}
	views, lost := s.views(rooms, store.ID{}, upTo)
	tail := store.Tail{Start: upTo, Lost: lost}
	for _, v := range views {
		if v.len() == 0 {
			continue
		}
		oldest, newest := v.log.At(v.from).ID, v.log.At(v.to-1).ID
		if tail.Oldest.IsZero() || tail.Oldest.After(oldest) {
			tail.Oldest = oldest
		}
		tail.Newest = store.Newest(tail.Newest, newest)
	}
	if id, ok := nthNewest(views, n); ok {
		tail.Start = id.Prev()
	}
	return tail, nil
}

// Delete implements [store.Store].
func (s *Store) Delete(_ context.Context, id store.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.nonces.expire(s.now())
	name, found := s.nonces.bury(id)
	for _, r := range s.rooms {
		before := r.log.Size()
		if r.log.Remove(id) {
			s.size += r.log.Size() - before
			name, found = r.name, true
			s.hollow = s.hollow || r.log.Len() == 0
			break
		}
	}
	if !found {
		return store.ErrNotFound
	}
	s.hub.Deleted(name, id)
	s.sweepLater()
	return nil
}

// Forget implements [store.Store].
func (s *Store) Forget(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.nonces.buryRoom(name)
	if r := s.rooms[name]; r != nil {
		s.drop(r)
		s.hub.Forgotten(name, r.lost)
	}
	return nil
}

// Rooms implements [store.Lister].
func (s *Store) Rooms(context.Context) (map[string]int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	cutoff := s.cutoff()
	rooms := make(map[string]int, len(s.rooms))
	for name, r := range s.rooms {
		if n := r.log.Len() - r.log.After(cutoff); n > 0 {
			rooms[name] = n
		}
	}
	return rooms, nil
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
		s.change(r, func(r *room) { r.trim(limits.Count) })
		s.hollow = s.hollow || r.log.Len() == 0
	}
	for len(s.rooms) > limits.Rooms {
		r := s.idlest(nil)
		if r == nil {
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
	s.idle.Init()
	return nil
}

// sweepLater sees to it that the memory of old things is freed. Nobody sees
// them any more by then.
func (s *Store) sweepLater() {
	if s.sweep != nil || s.closed || s.nonces.len() == 0 && !s.hollow && (s.limits.Age == 0 || len(s.rooms) == 0) {
		return
	}
	every := hollowFor
	if s.limits.Age > 0 {
		every = min(max(s.limits.Age/8, time.Second), every)
	}
	var sweep *time.Timer
	sweep = time.AfterFunc(every, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sweep == sweep && !s.closed {
			s.sweep = nil
			s.expire()
			s.sweepLater()
		}
	})
	s.sweep = sweep
}

// hollowFor is how long a room that holds nothing is kept at least; it is gone
// after twice that. All that is known of it is what it has lost, which is then
// assumed of all rooms that are not here.
const hollowFor = 25 * time.Second

func (s *Store) expire() {
	s.nonces.expire(s.now())
	if s.limits.Age == 0 && !s.hollow {
		return
	}
	cutoff := s.cutoff()
	s.hollow = false
	for _, r := range s.rooms {
		s.change(r, func(r *room) { r.expire(cutoff) })
		switch {
		case r.log.Len() > 0:
		case r.hollow && !s.hub.Reading(r.name):
			s.drop(r)
		default:
			r.hollow, s.hollow = true, true
		}
	}
	if len(s.rooms) == 0 {
		s.rooms = make(map[string]*room) // a map never shrinks
	}
}

// cutoff is the newest id that is too old to be seen.
func (s *Store) cutoff() store.ID {
	if s.limits.Age == 0 {
		return store.ID{}
	}
	return store.ID{Ms: s.now().Add(-s.limits.Age).UnixMilli(), N: math.MaxUint64}
}
