package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	if err := s.usableNow(); err != nil {
		return err
	}
	if id.N == 0 {
		return store.ErrNotFound
	}
	room, key, err := s.locate(ctx, id)
	if err != nil {
		return err
	}
	// publish the change first: if this node then dies, the others hide the message
	if err := s.publishChange(ctx, change{Room: room, Deleted: id.String(), Key: key}); err != nil {
		return err
	}
	stream, err := s.handle(ctx)
	if err != nil {
		return s.streamError(err)
	}
	err = callErr(ctx, s, func() error { return stream.SecureDeleteMsg(ctx, id.N) })
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == noMessage {
			return nil
		}
		return fmt.Errorf("deleting from stream %s: %w", s.config.stream, err)
	}
	return nil
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
	if err := s.load(ctx, room); err != nil {
		return "", "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, found := slices.BinarySearchFunc(s.index.idsOf(room), id, store.ID.Compare)
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
