package jetstream

import (
	"context"
	"slices"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/merge"
)

// views returns what can be read of rooms between two ids. It first loads the ids
// that are not known.
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
		v := s.index.view(name, after, upTo, s.limits.Cutoff(time.Now()))
		v.ids = slices.Clone(v.ids)
		views[i] = v
	}
	return views, nil
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
		// of a guessed id only the sequence is right, not the time
		if l := page.Lost[i]; views[i].lost.guessed && l.N <= span.After.N {
			page.Lost[i] = store.Oldest(l, span.After)
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

// located is a message's id and room.
type located struct {
	room string
	id   store.ID
}

// pickOldest returns the oldest ids of all views, at most limit, and whether there
// are more. It removes them from the views.
func pickOldest(views []view, limit int) (picked []located, more bool) {
	for i := range merge.Oldest(views, view.next) {
		if len(picked) >= limit {
			return picked, true
		}
		v := &views[i]
		picked = append(picked, located{v.room, v.ids[0]})
		v.ids = v.ids[1:]
	}
	return picked, false
}

// read reads messages and returns them in the order of picked. gone are those that
// retention has removed meanwhile.
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
		if s.isLost(p) {
			gone = append(gone, p)
		}
	}
	return messages, gone, nil
}

// isLost records that the stream does not have a message any more, and reports
// whether retention has removed it. It is false for a deleted or forgotten message.
func (s *Store) isLost(p located) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, deleted := s.index.deleted[p.id.N]; deleted || !p.id.After(s.index.forgotten[p.room]) {
		return false
	}
	s.index.removeLost(p.room, p.id)
	return true
}
