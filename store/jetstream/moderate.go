package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// publishChange publishes a change to all nodes, and returns when this node has
// applied it.
func (s *Store) publishChange(ctx context.Context, c change) error {
	s.mu.Lock()
	if err := s.check(); err != nil {
		s.mu.Unlock()
		return err
	}
	p := s.addPending(randomKey(), s.subjects.changes(), c.encode())
	s.appends.Add(1)
	s.mu.Unlock()
	defer s.appends.Done()
	defer s.finish(p, store.Receipt{}, errAbandoned)
	if err := s.send(ctx, p); err != nil {
		return err
	}
	return s.await(ctx, p)
}

// Delete implements [store.Store], for all nodes.
func (s *Store) Delete(ctx context.Context, id store.ID) error {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	if err := s.waitForMessage(ctx, id); err != nil {
		return err
	}
	key := randomKey()
	for {
		room, nonce, err := s.locate(ctx, id)
		if err != nil {
			return err
		}
		_, err = s.remove(ctx, &revision{room: room, id: id, nonce: nonce}, key)
		if !errors.Is(err, errOvertaken) {
			return err
		}
		if err := s.catchUp(ctx, room, id); err != nil {
			return err
		}
	}
}

// remove publishes the revision that says that a message was deleted, and then erases
// the message and its last revision. If this node dies between the two, the others hide
// the message, and erase it when they come across it.
func (s *Store) remove(ctx context.Context, r *revision, key string) (store.Receipt, error) {
	r.kind = store.Delete
	var err error
	if r.was, err = s.lastRevisionSeq(ctx, r.room, r.id.N); err != nil {
		return store.Receipt{}, err
	}
	receipt, err := s.publishRevision(ctx, r, key)
	if err != nil {
		return store.Receipt{}, err
	}
	for _, seq := range []uint64{r.was, r.id.N} {
		if err := s.retry(ctx, nil, func() error { return s.erase(ctx, seq) }); err != nil {
			return store.Receipt{}, err
		}
	}
	return store.Receipt{ID: r.id, Repeat: receipt.Repeat}, nil
}

// erase removes an entry from the stream and overwrites it. It does nothing for 0, or if
// there is no such entry.
func (s *Store) erase(ctx context.Context, seq uint64) error {
	if seq == 0 {
		return nil
	}
	stream, err := s.handle(ctx)
	if err != nil {
		return s.streamError(err)
	}
	err = callErr(ctx, s, func() error { return stream.SecureDeleteMsg(ctx, seq) })
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == noMessage || errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting from stream %s: %w", s.config.stream, err)
	}
	return nil
}

// eraseAll erases entries that are left of deleted messages, best effort.
func (s *Store) eraseAll(list []uint64) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*requestTimeout)
	defer cancel()
	for _, seq := range list {
		if s.erase(ctx, seq) != nil {
			return
		}
	}
}

// locate returns the room and the key of a message that can be read, or that this
// node keeps for its nonce. For any other id it returns [store.ErrNotFound].
func (s *Store) locate(ctx context.Context, id store.ID) (room, key string, err error) {
	e, err := s.get(ctx, getRequest{Seq: id.N})
	if errors.Is(err, store.ErrNotFound) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if key, m := s.nonces.keyOf(id); m != nil {
			return m.Room, key, nil
		}
	}
	if err != nil {
		return "", "", err
	}
	room, ok := s.subjects.roomOf(e.subject)
	if !ok {
		return "", "", store.ErrNotFound
	}
	views, err := s.views(ctx, store.Span{Rooms: []string{room}, After: id.Prev(), UpTo: id})
	if err != nil {
		return "", "", err
	}
	found := len(views[0].ids) > 0
	s.mu.RLock()
	defer s.mu.RUnlock()
	if m := s.nonces.message(e.key()); !found && (m == nil || m.ID != id) {
		return "", "", store.ErrNotFound
	}
	return room, e.key(), nil
}

// noMessage is the error for deleting a message that does not exist.
const noMessage jetstream.ErrorCode = 10043

// Forget implements [store.Store], for all nodes.
func (s *Store) Forget(ctx context.Context, room string) error {
	if err := s.usableNow(); err != nil {
		return err
	}
	last, through, err := s.lastIn(ctx, room)
	if err != nil {
		return err
	}
	if err := s.waitFor(ctx, last); err != nil { // to know all nonces of the room
		return err
	}
	s.mu.RLock()
	for _, m := range s.nonces.in(room) {
		if last == 0 { // the room was dropped, and only nonces keep its messages
			through = store.Newest(through, m.ID)
		}
	}
	keys := s.nonces.toBury(room, through)
	s.mu.RUnlock()
	if through.IsZero() {
		s.vacate(room)
		return nil
	}
	return s.purge(ctx, last, change{Room: room, Forgotten: through.String(), Nonces: keys})
}
