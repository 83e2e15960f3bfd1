package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// publishChange tells all nodes what was done to messages, and returns when
// this one has heard it too.
func (s *Store) publishChange(ctx context.Context, c change) error {
	s.mu.Lock()
	if err := s.check(); err != nil {
		s.mu.Unlock()
		return err
	}
	f := s.depart(randomKey(), s.subjects.changes(), c.encode())
	s.underway.Add(1)
	s.mu.Unlock()
	defer s.underway.Done()
	defer s.land(f, store.Receipt{}, errAbandoned)
	if err := s.send(ctx, f); err != nil {
		return err
	}
	return s.wait(ctx, f)
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
	// told first: if this node dies in between, the others know
	if err := s.publishChange(ctx, change{Room: room, Deleted: id.String(), Key: key}); err != nil {
		return err
	}
	stream, err := s.handle(ctx)
	if err != nil {
		return s.streamError(err)
	}
	err = order(ctx, s, func() error { return stream.SecureDeleteMsg(ctx, id.N) })
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == noMessage {
			return nil
		}
		return fmt.Errorf("deleting from stream %s: %w", s.config.stream, err)
	}
	return nil
}

// locate returns the room and the key of a message that can be read, or that
// this node keeps for its nonce. Otherwise the error is [store.ErrNotFound].
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

// noMessage is what a delete of a message answers that is gone.
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
	if err := s.arrived(ctx, last); err != nil { // to know the nonces
		return err
	}
	s.mu.RLock()
	for _, m := range s.nonces.in(room) {
		if last == 0 { // all of it was dropped, but what its nonces keep
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

// drop removes all messages of a room, for all nodes, so that another one can
// be made.
func (s *Store) drop(ctx context.Context, room string) error {
	if err := s.usableNow(); err != nil {
		return err
	}
	last, through, err := s.lastIn(ctx, room)
	if err != nil {
		return err
	}
	if through.IsZero() {
		s.vacate(room)
		return nil
	}
	return s.purge(ctx, last, change{Room: room, Forgotten: through.String(), Dropped: true})
}

// lastIn returns the sequence and the id of a room's last message in the
// stream, or 0 and the zero ID.
func (s *Store) lastIn(ctx context.Context, room string) (seq uint64, id store.ID, err error) {
	last, err := s.get(ctx, getRequest{LastFor: s.subjects.room(room)})
	if errors.Is(err, store.ErrNotFound) {
		return 0, store.ID{}, nil
	}
	if err != nil {
		return 0, store.ID{}, err
	}
	id = store.ID{N: last.seq}
	if at, err := last.id(); err == nil {
		id = at
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if ids := s.index.idsOf(room); len(ids) > 0 && ids[len(ids)-1].N == last.seq {
		id = ids[len(ids)-1]
	}
	return last.seq, id, nil
}

// vacate takes a room out of the index that has no messages in the stream.
func (s *Store) vacate(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.vacate(room)
}

// purge tells all nodes of a change, and removes the room's messages up to a
// sequence.
func (s *Store) purge(ctx context.Context, last uint64, c change) error {
	if err := s.publishChange(ctx, c); err != nil {
		return err
	}
	stream, err := s.handle(ctx)
	if err != nil {
		return s.streamError(err)
	}
	err = order(ctx, s, func() error {
		return stream.Purge(ctx, jetstream.WithPurgeSubject(s.subjects.room(c.Room)), jetstream.WithPurgeSequence(last+1))
	})
	if err != nil {
		return fmt.Errorf("purging stream %s: %w", s.config.stream, err)
	}
	return nil
}
