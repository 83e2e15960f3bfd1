package memory

import (
	"context"
	"math"
	"slices"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/merge"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// After implements [store.Store].
func (s *Store) After(_ context.Context, span store.Span, limit int) (store.Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Page{}, store.ErrClosed
	}
	views, lost := s.views(span.Rooms, span.After, span.UpTo)
	page := store.Page{Lost: lost}
	if span.Changes {
		views, page.Ahead = s.withChanges(views, span, lost)
	}
	held := 0
	for _, v := range views {
		held += v.len()
	}
	page.Messages = slices.Grow(page.Messages, min(limit, held))
	size := 0 // of notices
	for i := range merge.Oldest(views, view.next) {
		if page.More = len(page.Messages) >= limit || size >= revisions.MaxPageBytes; page.More {
			break
		}
		m := views[i].take()
		if m.IsNotice() {
			size += m.Size()
		}
		page.Messages = append(page.Messages, m)
	}
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
	for i, name := range rooms {
		lost[i] = store.Newest(lost[i], s.unknownIn(name))
	}
	tail := store.Tail{Start: upTo, Lost: lost}
	for _, v := range views {
		if v.len() > 0 {
			tail.Include(v.log.At(v.from).ID, v.log.At(v.to-1).ID)
		}
	}
	if id, ok := nthNewest(views, n); ok {
		tail.Start = id.Prev()
	}
	return tail, nil
}

// Rooms implements [store.Lister].
func (s *Store) Rooms(context.Context) (map[string]int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	cutoff := s.limits.Cutoff(s.now())
	rooms := make(map[string]int, len(s.rooms))
	for name, r := range s.rooms {
		if n := r.log.Len() - r.log.After(cutoff); n > 0 {
			rooms[name] = n
		}
	}
	return rooms, nil
}

// Since implements [store.RoomFinder].
func (s *Store) Since(_ context.Context, id store.ID) (rooms []string, lost store.ID, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ID{}, store.ErrClosed
	}
	for name, r := range s.rooms {
		newest := store.Newest(r.lost, r.revisions.Newest())
		if n := r.log.Len(); n > 0 {
			newest = store.Newest(newest, r.log.At(n-1).ID)
		}
		if newest.After(id) {
			rooms = append(rooms, name)
		}
	}
	return rooms, store.Newest(s.lost, s.unknown), nil
}

// view is the messages from <= i < to of a room's log, or notices of its revisions.
type view struct {
	log       *store.Log
	from, to  int
	room      string
	revisions []revisions.Revision // nil for messages
}

func (v view) len() int {
	if v.revisions != nil {
		return len(v.revisions)
	}
	return max(0, v.to-v.from)
}

// next returns the id of the oldest message, if there is one.
func (v view) next() (store.ID, bool) {
	switch {
	case v.len() == 0:
		return store.ID{}, false
	case v.revisions != nil:
		return v.revisions[0].At, true
	default:
		return v.log.At(v.from).ID, true
	}
}

// take removes and returns the oldest message; there must be one.
func (v *view) take() *store.Message {
	if v.revisions == nil {
		v.from++
		return v.log.At(v.from - 1)
	}
	r := v.revisions[0]
	v.revisions = v.revisions[1:]
	switch r.Kind {
	case revisions.Deleted:
		return store.NewDeletion(r.At, v.room, r.ID)
	case revisions.Forgotten:
		return store.NewForgotten(r.At, v.room, r.ID)
	default:
		return store.NewWhole(r.At, v.log.Get(r.ID))
	}
}

// withChanges adds views of the notices in a span to those of its messages. lost is the
// newest message that each room has lost, and becomes the newest entry. It also returns
// the newest revision that is not in the span.
func (s *Store) withChanges(views []view, span store.Span, lost []store.ID) (all []view, ahead store.ID) {
	for i, name := range span.Rooms {
		gone := lost[i]
		lost[i] = store.Newest(gone, s.unknownIn(name))
		r := s.rooms[name]
		if r == nil {
			continue
		}
		var list []revisions.Revision
		for _, rev := range r.revisions.After(span.After) {
			if rev.At.After(span.UpTo) {
				ahead = store.Newest(ahead, r.revisions.Newest())
				break
			}
			if rev.IsIn(span, gone) {
				list = append(list, rev)
			}
		}
		if len(list) > 0 {
			views = append(views, view{log: &r.log, room: r.name, revisions: list})
		}
	}
	return views, ahead
}

// unknownIn returns the newest revision of a room that is not known any more, or the zero
// ID.
func (s *Store) unknownIn(name string) store.ID {
	if r := s.rooms[name]; r != nil {
		return r.revisions.Unknown()
	}
	return s.unknown
}

// views returns what readers can see of rooms between two ids, and for each room
// the newest message that it has lost.
func (s *Store) views(rooms []string, after, upTo store.ID) ([]view, []store.ID) {
	cutoff := s.limits.Cutoff(s.now())
	views, lost := make([]view, len(rooms)), make([]store.ID, len(rooms))
	for i, name := range rooms {
		r := s.rooms[name]
		if r == nil {
			views[i].log, lost[i] = &s.none, s.lost
			continue
		}
		lost[i] = r.lost
		if expired := r.log.After(cutoff); expired > 0 {
			lost[i] = r.log.At(expired - 1).ID
		}
		views[i] = view{log: &r.log, from: r.log.After(store.Newest(after, cutoff)), to: r.log.After(upTo)}
	}
	return views, lost
}

// nthNewest returns the id of the n-th newest message of all views, or of the
// oldest if there are fewer. It reports false if n is 0 or there are none.
//
// It searches for the millisecond first, so that its cost hardly depends on the
// number of messages.
func nthNewest(views []view, n int) (store.ID, bool) {
	total := newerThan(views, store.ID{})
	if n = min(n, total); n == 0 {
		return store.ID{}, false
	}
	// the first millisecond that has fewer than n messages after it
	var ms int64
	for step := int64(1 << 62); step > 0; step /= 2 {
		if newerThan(views, store.ID{Ms: ms + step - 1, N: math.MaxUint64}) >= n {
			ms += step
		}
	}
	var same []store.ID
	for _, v := range views {
		for i := max(v.from, v.log.After(store.ID{Ms: ms}.Prev())); i < v.to && v.log.At(i).ID.Ms == ms; i++ {
			same = append(same, v.log.At(i).ID)
		}
	}
	slices.SortFunc(same, store.ID.Compare)
	return same[len(same)-(n-newerThan(views, store.ID{Ms: ms, N: math.MaxUint64}))], true
}

// newerThan counts the messages of all views that are newer than id.
func newerThan(views []view, id store.ID) (count int) {
	for _, v := range views {
		count += max(0, v.to-max(v.from, v.log.After(id)))
	}
	return count
}
