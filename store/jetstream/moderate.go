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
	defer s.land(f, nil, false, errAbandoned)
	if err := s.send(ctx, f); err != nil {
		return err
	}
	return f.wait(ctx)
}

// Delete implements [store.Store], for all nodes.
func (s *Store) Delete(ctx context.Context, id store.ID) error {
	if err := s.usableNow(); err != nil {
		return err
	}
	if id.N == 0 {
		return store.ErrNotFound
	}
	e, err := s.get(ctx, getRequest{Seq: id.N})
	if err != nil {
		return err
	}
	room, ok := s.subjects.roomOf(e.subject)
	if !ok {
		return store.ErrNotFound
	}
	if err := s.load(ctx, room); err != nil {
		return err
	}
	s.mu.RLock()
	_, found := slices.BinarySearchFunc(s.index.idsOf(room), id, store.ID.Compare)
	s.mu.RUnlock()
	if !found {
		return store.ErrNotFound
	}
	// told first: if this node dies in between, the others know
	if err := s.publishChange(ctx, change{Room: room, Deleted: id.String()}); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, s.config.stream)
	if err != nil {
		return s.streamError(err)
	}
	if err := stream.SecureDeleteMsg(ctx, id.N); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == noMessage {
			return nil
		}
		return fmt.Errorf("deleting from stream %s: %w", s.config.stream, err)
	}
	return nil
}

// noMessage is what a delete of a message answers that is gone.
const noMessage jetstream.ErrorCode = 10043

// Forget implements [store.Store], for all nodes.
func (s *Store) Forget(ctx context.Context, room string) error {
	if err := s.usableNow(); err != nil {
		return err
	}
	last, err := s.get(ctx, getRequest{LastFor: s.subjects.room(room)})
	if errors.Is(err, store.ErrNotFound) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.index.vacate(room)
		return nil
	}
	if err != nil {
		return err
	}
	through := store.ID{N: last.seq}
	if id, err := last.id(); err == nil {
		through = id
	}
	s.mu.RLock()
	if ids := s.index.idsOf(room); len(ids) > 0 && ids[len(ids)-1].N == last.seq {
		through = ids[len(ids)-1]
	}
	s.mu.RUnlock()
	if err := s.publishChange(ctx, change{Room: room, Forgotten: through.String()}); err != nil {
		return err
	}
	stream, err := s.js.Stream(ctx, s.config.stream)
	if err != nil {
		return s.streamError(err)
	}
	err = stream.Purge(ctx, jetstream.WithPurgeSubject(s.subjects.room(room)), jetstream.WithPurgeSequence(last.seq+1))
	if err != nil {
		return fmt.Errorf("purging stream %s: %w", s.config.stream, err)
	}
	return nil
}
