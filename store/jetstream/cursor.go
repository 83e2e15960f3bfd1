package jetstream

import (
	"context"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream/lease"
)

// cursor is a [store.Cursor] with a lease, so that only one node has it. Its stream is not
// that of the messages: no node has to skip it when it reads, counts or checks those.
type cursor struct {
	*lease.Lease

	store *Store
	name  string
	at    store.ID
}

// heldCursor is what a node remembers of a cursor that it had.
type heldCursor struct {
	lease string
	value string // that was saved last, for when the stream of the cursors is lost
}

// cursors returns the table of the cursors.
func (s *Store) cursors() *lease.Table {
	return &lease.Table{
		JS: s.js, Stream: s.config.stream + "_CURSORS", Subject: "sse_chat_cursors." + s.config.stream,
		Replicas: max(1, s.config.replicas),
		Call: func(ctx context.Context, do func() error) error {
			return s.explain(callErr(ctx, s, do))
		},
	}
}

// OpenCursor implements [store.Cursors].
func (s *Store) OpenCursor(ctx context.Context, name string) (store.Cursor, error) {
	select {
	case <-s.usable:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ctx.Done():
		return nil, store.ErrClosed
	}
	held, err := s.cursors().Take(ctx, s.ctx, name, func(dropped bool) string {
		s.mu.RLock()
		before, had := s.held[name]
		s.mu.RUnlock()
		if had && !dropped {
			return before.value
		}
		return s.State().Latest.String()
	})
	if err != nil {
		return nil, err
	}
	at, err := store.ParseID(held.Value())
	if err != nil && held.Value() != "" { // which is before the first message
		_ = held.Close(ctx)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = make(map[string]heldCursor)
	}
	s.held[name] = heldCursor{held.ID(), held.Value()}
	return &cursor{held, s, name, at}, nil
}

// DropCursor implements [store.Cursors].
func (s *Store) DropCursor(ctx context.Context, name string) error {
	s.mu.RLock()
	held, had := s.held[name]
	s.mu.RUnlock()
	if !had {
		return nil
	}
	if err := s.cursors().Drop(ctx, name, held.lease); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, name)
	return nil
}

// At implements [store.Cursor].
func (c *cursor) At() store.ID { return c.at }

// Save implements [store.Cursor].
func (c *cursor) Save(ctx context.Context, id store.ID) error {
	if err := c.Lease.Save(ctx, id.String()); err != nil {
		return err
	}
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.store.held[c.name] = heldCursor{c.ID(), id.String()}
	return nil
}

// Since implements [store.RoomFinder]. It may also return rooms whose newest messages this node has not read yet.
func (s *Store) Since(ctx context.Context, id store.ID) (rooms []string, lost store.ID, err error) {
	found := make(map[string]struct{})
	s.mu.RLock()
	err, old := s.readable(), s.index.changes.since.After(id)
	s.mu.RUnlock()
	if err != nil {
		return nil, store.ID{}, err
	}
	if old {
		// changes from before this node has joined, of which it knows nothing yet
		since := time.UnixMilli(id.Ms)
		entries, err := s.readSubjectSince(ctx, s.subjects.revisions(), &since, true)
		if err != nil {
			return nil, store.ID{}, err
		}
		for _, e := range entries {
			if room, _, ok := s.subjects.messageOf(e.subject); ok {
				found[room] = struct{}{}
			}
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, r := range s.index.rooms {
		if r.newest().After(id) {
			found[name] = struct{}{}
		}
	}
	for name, r := range s.index.changes.rooms {
		if store.Newest(r.list.Newest(), r.unknown).After(id) {
			found[name] = struct{}{}
		}
	}
	for name, f := range s.index.forgotten {
		if f.newest().After(id) {
			found[name] = struct{}{}
		}
	}
	for name := range found {
		rooms = append(rooms, name)
	}
	return rooms, s.index.unknown, nil
}

// newest returns an id that no message of the room is newer than, and no loss.
func (r *room) newest() store.ID {
	newest := r.lost.id
	if n := len(r.ids); n > 0 {
		newest = store.Newest(newest, r.ids[n-1])
	}
	if r.known != complete {
		newest = store.Newest(newest, r.unseen)
	}
	return newest
}
