package jetstream

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/merge"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// views returns what can be read of rooms between two ids. It first loads the ids and
// the revisions that are not known.
func (s *Store) views(ctx context.Context, span store.Span) ([]view, error) {
	for {
		views, unknown, err := s.knownViews(span)
		if err != nil || len(unknown) == 0 {
			return views, err
		}
		for _, name := range unknown {
			if err := s.load(ctx, name); err != nil {
				return nil, err
			}
		}
	}
}

// knownViews is views for what is known, and returns the rooms that must be loaded first.
// The index may forget what it has of any room at any time.
func (s *Store) knownViews(span store.Span) (views []view, unknown []string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.readable(); err != nil {
		return nil, nil, err
	}
	views = make([]view, len(span.Rooms))
	cutoff := s.limits.Cutoff(time.Now())
	for i, name := range span.Rooms {
		if !s.index.covers(name, span.After) || !s.index.changes.covers(name, span.After) {
			unknown = append(unknown, name)
		}
		v := s.index.view(name, span.After, span.UpTo, cutoff)
		v.ids = slices.Clone(v.ids)
		v.lostNotices = s.index.lostNotices(name)
		if span.Changes {
			v.notices = s.index.notices(name, span, v.lost.id)
			if newest := s.index.changes.newest(name); newest.After(span.UpTo) {
				v.ahead = newest
			}
		}
		views[i] = v
	}
	return views, unknown, nil
}

// lost returns the newest lost message of each view.
func lost(views []view) []store.ID {
	list := make([]store.ID, len(views))
	for i, v := range views {
		list[i] = v.lost.id
	}
	return list
}

// After implements [store.Store].
func (s *Store) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	views, err := s.views(ctx, span)
	if err != nil {
		return store.Page{}, err
	}
	page := store.Page{Lost: lost(views)}
	picked, more := pickOldest(slices.Clone(views), limit)
	page.More = more
	var gone []located
	if page.Messages, gone, err = s.read(ctx, picked); err != nil {
		return store.Page{}, err
	}
	page.Messages, page.More = cutNotices(page.Messages, page.More)
	for i, room := range span.Rooms {
		for _, g := range gone {
			if g.room == room {
				page.Lost[i] = store.Newest(page.Lost[i], g.id)
			}
		}
		// of a guessed id only the sequence is right, not the time
		if l := page.Lost[i]; views[i].lost.guessed && l.N <= span.After.N {
			page.Lost[i] = store.Oldest(l, span.After)
		}
		if span.Changes {
			page.Lost[i] = store.Newest(page.Lost[i], views[i].lostNotices)
		}
		page.Ahead = store.Newest(page.Ahead, views[i].ahead)
	}
	return page, nil
}

// cutNotices ends a page once its notices have [revisions.MaxPageBytes].
func cutNotices(messages []*store.Message, more bool) ([]*store.Message, bool) {
	size := 0
	for i, m := range messages {
		if size >= revisions.MaxPageBytes {
			return messages[:i:i], true
		}
		if m.IsNotice() {
			size += m.Size()
		}
	}
	return messages, more
}

// Before implements [store.Store].
func (s *Store) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	views, err := s.views(ctx, store.Span{Rooms: []string{room}, UpTo: before.Prev()})
	if err != nil {
		return store.Page{}, err
	}
	ids := views[0].ids
	page := store.Page{More: len(ids) > limit, Lost: lost(views)}
	picked := make([]located, 0, min(limit, len(ids)))
	for _, id := range ids[max(0, len(ids)-limit):] {
		picked = append(picked, located{room: room, id: id})
	}
	page.Messages, _, err = s.read(ctx, picked)
	return page, err
}

// Tail implements [store.Store].
func (s *Store) Tail(ctx context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	views, err := s.views(ctx, store.Span{Rooms: rooms, UpTo: upTo})
	if err != nil {
		return store.Tail{}, err
	}
	tail := store.Tail{Start: upTo, Lost: lost(views)}
	var newest []store.ID
	for i, v := range views {
		tail.Lost[i] = store.Newest(tail.Lost[i], v.lostNotices)
		if len(v.ids) == 0 {
			continue
		}
		tail.Include(v.ids[0], v.ids[len(v.ids)-1])
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
	cutoff := s.limits.Cutoff(time.Now())
	rooms := make(map[string]int, len(s.index.rooms))
	for name, r := range s.index.rooms {
		n := len(s.index.view(name, store.ID{}, s.latest, cutoff).ids)
		if r.known != complete {
			n = min(max(n, stored[name]), s.limits.Count)
		}
		if n > 0 {
			rooms[name] = n
		}
	}
	return rooms, nil
}

// located is an entry of the log: a message's id and room, or a notice of what has
// happened to the message.
type located struct {
	room string
	id   store.ID
	// notice is set for a notice.
	notice bool
	kind   revisions.Kind
	at     store.ID // of a notice
}

// pickOldest returns the oldest entries of all views, at most limit, and whether there
// are more. It removes them from the views.
func pickOldest(views []view, limit int) (picked []located, more bool) {
	for i := range merge.Oldest(views, view.next) {
		if len(picked) >= limit {
			return picked, true
		}
		v := &views[i]
		if v.noticeIsNext() {
			n := v.notices[0]
			picked = append(picked, located{v.room, n.ID, true, n.Kind, n.At})
			v.notices = v.notices[1:]
			continue
		}
		picked = append(picked, located{room: v.room, id: v.ids[0]})
		v.ids = v.ids[1:]
	}
	return picked, false
}

// read reads entries and returns them in the order of picked. gone are messages that
// retention has removed meanwhile.
func (s *Store) read(ctx context.Context, picked []located) (messages []*store.Message, gone []located, err error) {
	byRoom := make(map[string][]store.ID)
	for _, p := range picked {
		if !p.notice || p.kind == revisions.Changed {
			byRoom[p.room] = append(byRoom[p.room], p.id)
		}
	}
	found, err := s.fetchRooms(ctx, byRoom)
	if err != nil {
		return nil, nil, err
	}
	messages = make([]*store.Message, 0, len(picked))
	for _, p := range picked {
		m, known := found[p.room][p.id.N]
		switch {
		case p.notice:
			if n := p.notify(m); n != nil {
				messages = append(messages, n)
			}
		case m != nil:
			messages = append(messages, m)
		case !known && s.isLost(p):
			gone = append(gone, p)
		}
	}
	return messages, gone, nil
}

// fetchRooms is fetch for several rooms.
func (s *Store) fetchRooms(ctx context.Context, byRoom map[string][]store.ID) (map[string]map[uint64]*store.Message, error) {
	rooms := slices.Collect(maps.Keys(byRoom))
	messages := make([]map[uint64]*store.Message, len(rooms))
	err := concurrently(ctx, len(rooms), func(ctx context.Context, i int) (err error) {
		ids := byRoom[rooms[i]]
		slices.SortFunc(ids, store.ID.Compare)
		messages[i], err = s.fetch(ctx, rooms[i], slices.Compact(ids))
		return err
	})
	found := make(map[string]map[uint64]*store.Message, len(rooms))
	for i, room := range rooms {
		found[room] = messages[i]
	}
	return found, err
}

// notify returns the notice of what has happened to a message, which is m now. It returns
// nil if the message is gone: then the notice of that is still to come.
func (p located) notify(m *store.Message) *store.Message {
	switch {
	case p.kind == revisions.Deleted:
		return store.NewDeletion(p.at, p.room, p.id)
	case p.kind == revisions.Forgotten:
		return store.NewForgotten(p.at, p.room, p.id)
	case m == nil:
		return nil
	default: // m may be newer, but its newer revision is not part of the span
		return store.NewWhole(p.at, m)
	}
}

// isLost records that the stream does not have a message any more, and reports
// whether retention has removed it. It is false for a deleted or forgotten message.
func (s *Store) isLost(p located) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, deleted := s.index.deleted[p.id.N]; deleted || !p.id.After(s.index.forgotten[p.room].lost) {
		return false
	}
	s.index.removeLost(p.room, p.id)
	return true
}
