package memory

import (
	"context"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// Change implements [store.Store].
func (s *Store) Change(_ context.Context, name string, id store.ID, c store.Change) (store.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.Receipt{}, store.ErrClosed
	}
	now := s.now()
	s.nonces.expire(now)
	r := s.rooms[name]
	var m *store.Message
	if r != nil && id.After(s.limits.Cutoff(now)) {
		m = r.log.Get(id)
	}
	key := nonceKey{name, c.By, c.Nonce, id}
	if c.Nonce != "" && s.nonces.changed(key) {
		return store.Receipt{ID: id, Message: m, Repeat: true}, nil
	}
	if m == nil && c.Kind == store.Delete {
		m = s.nonces.message(id) // a message that only its nonce keeps
	}
	if m == nil || m.Room != name {
		return store.Receipt{}, store.ErrNotFound
	}
	key.room = m.Room // which is not a slice of a whole request
	clock := s.clock  // an id is only used if something changes
	at := clock.Next(now.UnixMilli())
	if c.Kind == store.Delete {
		if err := c.Check(m.Owner); err != nil || c.DryRun {
			return store.Receipt{ID: id}, err
		}
		s.clock = clock
		s.nonces.addChange(key, at, now)
		s.remove(m, at)
		return store.Receipt{ID: id}, nil
	}
	if c.Kind == store.React {
		// clone what the message keeps, because it may be a slice of a whole request
		c.By, c.Text = store.Owner(strings.Clone(string(c.By))), strings.Clone(c.Text)
	}
	post := m.Post()
	changed, err := c.Apply(&post, at)
	if err != nil {
		return store.Receipt{}, err
	}
	if c.DryRun {
		return store.Receipt{ID: id, Message: m, Unchanged: !changed}, nil
	}
	if !changed {
		s.nonces.addChange(key, s.clock.Last(), now)
		s.bound(r)
		s.sweepLater()
		return store.Receipt{ID: id, Message: m, Unchanged: true}, nil
	}
	s.clock = clock
	after := store.NewPost(id, m.Room, post)
	s.change(r, func(r *room) {
		r.log.Replace(after)
		r.revisions.Change(m.Revision(), revisions.Revision{At: at, ID: id})
	})
	s.nonces.replace(after, post.Nonce)
	s.nonces.addChange(key, at, now)
	s.hub.Changed(after, store.NewDelta(id, m.Room, &c, &post))
	s.bound(r)
	s.sweepLater()
	return store.Receipt{ID: id, Message: after}, nil
}

// Delete implements [store.Store].
func (s *Store) Delete(_ context.Context, id store.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.nonces.expire(s.now())
	m := s.nonces.message(id)
	for _, r := range s.rooms {
		if m != nil {
			break
		}
		m = r.log.Get(id)
	}
	if m == nil {
		return store.ErrNotFound
	}
	s.remove(m, s.clock.Next(s.now().UnixMilli()))
	return nil
}

// remove deletes a message that a room or a nonce keeps, at a revision.
func (s *Store) remove(m *store.Message, at store.ID) {
	s.nonces.bury(m.ID)
	if r := s.rooms[m.Room]; r != nil {
		s.change(r, func(r *room) {
			if r.log.Remove(m.ID) {
				r.revisions.Change(m.Revision(), revisions.Revision{At: at, ID: m.ID, Kind: revisions.Deleted})
				r.revisions.Limit(s.limits.Count, r.lost)
			}
		})
		s.hollow = s.hollow || r.log.Len() == 0
	}
	s.hub.Deleted(m.Room, m.ID, at)
	s.sweepLater()
}

// Forget implements [store.Store].
func (s *Store) Forget(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.nonces.buryRoom(name)
	r := s.rooms[name]
	if r == nil || r.log.Len() == 0 {
		return nil
	}
	at := s.clock.Next(s.now().UnixMilli())
	s.change(r, func(r *room) {
		r.revisions.Forget(at, r.log.At(r.log.Len()-1).ID)
		for r.log.Len() > 0 {
			r.shift()
		}
	})
	s.byAge.remove(r)
	// the room itself is dropped later, so that readers who return soon learn of it
	s.hollow = true
	s.hub.Forgotten(name, r.lost, at)
	s.sweepLater()
	return nil
}
