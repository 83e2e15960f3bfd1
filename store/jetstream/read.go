package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// views returns what can be read of rooms between two ids, and loads what is
// not known of them.
func (s *Store) views(ctx context.Context, rooms []string, after, upTo store.ID) ([]view, error) {
	for _, name := range rooms {
		s.mu.RLock()
		err, covered := s.readable(), s.index.covers(name, after)
		s.mu.RUnlock()
		if err != nil {
			return nil, err
		}
		if !covered {
			if err := s.load(ctx, name); err != nil {
				return nil, err
			}
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	views := make([]view, len(rooms))
	for i, name := range rooms {
		v := s.index.view(name, after, upTo, s.cutoff())
		v.ids = slices.Clone(v.ids)
		views[i] = v
	}
	return views, nil
}

func lost(views []view) []store.ID {
	list := make([]store.ID, len(views))
	for i, v := range views {
		list[i] = v.lost
	}
	return list
}

// After implements [store.Store].
func (s *Store) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	views, err := s.views(ctx, span.Rooms, span.After, span.UpTo)
	if err != nil {
		return store.Page{}, err
	}
	picked, more := pickOldest(views, limit)
	page := store.Page{More: more}
	var gone []located
	if page.Messages, gone, err = s.read(ctx, picked); err != nil {
		return store.Page{}, err
	}
	page.Lost = lost(views)
	for i, room := range span.Rooms {
		for _, g := range gone {
			if g.room == room {
				page.Lost[i] = store.Newest(page.Lost[i], g.id)
			}
		}
		// of a place only the sequence is known, not the time
		if l := page.Lost[i]; views[i].guessed && l.N <= span.After.N {
			page.Lost[i] = oldest(l, span.After)
		}
	}
	return page, nil
}

// Before implements [store.Store].
func (s *Store) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	views, err := s.views(ctx, []string{room}, store.ID{}, before.Prev())
	if err != nil {
		return store.Page{}, err
	}
	ids := views[0].ids
	page := store.Page{More: len(ids) > limit, Lost: lost(views)}
	picked := make([]located, 0, min(limit, len(ids)))
	for _, id := range ids[max(0, len(ids)-limit):] {
		picked = append(picked, located{room, id})
	}
	page.Messages, _, err = s.read(ctx, picked)
	return page, err
}

// Tail implements [store.Store].
func (s *Store) Tail(ctx context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	views, err := s.views(ctx, rooms, store.ID{}, upTo)
	if err != nil {
		return store.Tail{}, err
	}
	tail := store.Tail{Start: upTo, Lost: lost(views)}
	var newest []store.ID
	for _, v := range views {
		if len(v.ids) == 0 {
			continue
		}
		first, last := v.ids[0], v.ids[len(v.ids)-1]
		if tail.Oldest.IsZero() || tail.Oldest.After(first) {
			tail.Oldest = first
		}
		tail.Newest = store.Newest(tail.Newest, last)
		newest = append(newest, v.ids[max(0, len(v.ids)-n):]...)
	}
	if len(newest) > 0 {
		slices.SortFunc(newest, store.ID.Compare)
		tail.Start = newest[max(0, len(newest)-n)].Prev()
	}
	return tail, nil
}

// Rooms implements [store.Lister].
func (s *Store) Rooms(ctx context.Context) (map[string]int, error) {
	if err := s.usableNow(); err != nil {
		return nil, err
	}
	stored, _, err := s.counts(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rooms := make(map[string]int, len(s.index.rooms))
	for name, r := range s.index.rooms {
		n := len(s.index.view(name, store.ID{}, s.latest, s.cutoff()).ids)
		if r.partial {
			n = min(max(n, stored[name]), s.limits.Count)
		}
		if n > 0 {
			rooms[name] = n
		}
	}
	return rooms, nil
}

// Witness implements [store.Witness]. An id between two messages is one where a
// stream began, see [store.Tail].
func (s *Store) Witness(ctx context.Context, id store.ID) (bool, error) {
	s.mu.RLock()
	err, position, latest := s.readable(), s.position, s.latest
	seen, found := s.recent.at(id.N)
	s.mu.RUnlock()
	switch {
	case err != nil:
		return false, err
	case id.IsZero(), id.N == 0 && id == latest:
		return true, nil // the beginning
	case found && (seen == id || seen.After(id)):
		return seen == id, nil // also while NATS is away
	}
	if id.N > position {
		// another node may be ahead of this one
		if given, err := s.givenOut(ctx, id.N); err != nil || !given {
			return false, err
		}
		if err := s.arrived(ctx, id.N); err != nil {
			return false, err
		}
	}
	// the message itself, or the next one that is left
	next, at, err := s.entryFrom(ctx, max(id.N, 1))
	if err == nil && next.seq == id.N {
		if at.Ms == id.Ms || s.knows(next, id) {
			return true, nil
		}
		if at.After(id) {
			return false, nil
		}
		// a place behind the message, where a stream began
		if _, at, err = s.entryFrom(ctx, id.N+1); errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.mu.RLock()
		defer s.mu.RUnlock()
		return !id.After(s.latest), nil
	case err != nil:
		return false, err
	case id.N == 0: // before the first message, or of another log
		return at == id.Next(), nil
	}
	return id.Ms <= at.Ms, nil
}

// entryFrom returns the first entry that is left from a sequence on, and its
// id.
func (s *Store) entryFrom(ctx context.Context, seq uint64) (*entry, store.ID, error) {
	e, err := s.get(ctx, getRequest{Seq: seq, NextFor: ">"})
	if err != nil {
		return nil, store.ID{}, err
	}
	id, err := e.id()
	if err != nil {
		id = store.ID{Ms: e.time.UnixMilli(), N: e.seq}
	}
	return e, id, nil
}

// givenOut reports whether the stream has come to a sequence. A new leader may
// take a moment until it has come to what was stored before its time.
func (s *Store) givenOut(ctx context.Context, seq uint64) (bool, error) {
	for begin := time.Now(); ; {
		last, err := s.last(ctx)
		if err != nil || seq <= last {
			return err == nil, err
		}
		if time.Since(begin) > time.Second {
			return false, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return false, ctx.Err()
		case <-s.ctx.Done():
			return false, store.ErrClosed
		}
	}
}

// knows reports whether an entry was delivered under an id.
func (s *Store) knows(e *entry, id store.ID) bool {
	room, ok := s.subjects.roomOf(e.subject)
	if !ok {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, found := slices.BinarySearchFunc(s.index.idsOf(room), id, store.ID.Compare)
	return found
}

// located is a message's id and where it is.
type located struct {
	room string
	id   store.ID
}

// pickOldest returns the oldest ids of views, and whether there are more. The
// views are used up.
func pickOldest(views []view, limit int) (picked []located, more bool) {
	for {
		best := -1
		for i, v := range views {
			if len(v.ids) > 0 && (best < 0 || views[best].ids[0].After(v.ids[0])) {
				best = i
			}
		}
		if best < 0 {
			return picked, false
		}
		if len(picked) >= limit {
			return picked, true
		}
		v := &views[best]
		picked = append(picked, located{v.room, v.ids[0]})
		v.ids = v.ids[1:]
	}
}

// read reads messages and returns them in the order of picked, and apart from
// them those that turned out to be gone.
func (s *Store) read(ctx context.Context, picked []located) (messages []*store.Message, gone []located, err error) {
	byRoom := make(map[string][]store.ID)
	for _, p := range picked {
		byRoom[p.room] = append(byRoom[p.room], p.id)
	}
	found := make(map[string]map[uint64]*store.Message, len(byRoom))
	for room, ids := range byRoom {
		if found[room], err = s.fetch(ctx, room, ids); err != nil {
			return nil, nil, err
		}
	}
	messages = make([]*store.Message, 0, len(picked))
	for _, p := range picked {
		if m := found[p.room][p.id.N]; m != nil {
			messages = append(messages, m)
			continue
		}
		if s.vanished(p) {
			gone = append(gone, p)
		}
	}
	return messages, gone, nil
}

// vanished notes that a message is gone. It reports false if it was removed on
// purpose meanwhile.
func (s *Store) vanished(p located) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, deleted := s.index.deleted[p.id.N]; deleted || !p.id.After(s.index.forgotten[p.room]) {
		return false
	}
	s.index.vanish(p.room, p.id)
	return true
}
