package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// load reads the ids of a room from the stream unless all are known.
func (s *Store) load(ctx context.Context, room string) error {
	release, err := s.acquire(ctx, s.loading.of(room), exclusive)
	if err != nil {
		return err
	}
	defer release()
	for {
		s.mu.RLock()
		x, r := s.index, s.index.rooms[room]
		needed := r != nil && r.known != complete
		var known store.ID
		if needed && len(r.ids) > 0 {
			known = r.ids[0]
		}
		s.mu.RUnlock()
		if !needed {
			return nil
		}
		ids, err := s.readIDs(ctx, room)
		if err != nil {
			return err
		}
		upToDate, err := s.upToDate(ctx, room, ids, known)
		if err != nil {
			return err
		}
		if upToDate {
			s.mu.Lock()
			if s.index == x {
				x.fill(room, ids, s.limits.Count, s.physical)
			}
			s.mu.Unlock()
			continue // unless the index was replaced, the room is complete now
		}
		// the replica that has answered lags behind
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return store.ErrClosed
		}
	}
}

// upToDate reports whether ids, read from any replica, are all ids of a room up to
// known, or all of the room if known is zero.
func (s *Store) upToDate(ctx context.Context, room string, ids []store.ID, known store.ID) (bool, error) {
	need := known.N
	if need == 0 {
		last, err := s.get(ctx, getRequest{LastFor: s.subjects.room(room)})
		if errors.Is(err, store.ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		need = last.seq
	}
	return len(ids) > 0 && ids[len(ids)-1].N >= need, nil
}

// readIDs returns the ids of a room from any replica.
func (s *Store) readIDs(ctx context.Context, room string) ([]store.ID, error) {
	entries, err := s.readSubject(ctx, s.subjects.room(room), true)
	if err != nil {
		return nil, err
	}
	ids := make([]store.ID, 0, len(entries))
	for _, e := range entries {
		if id, err := e.id(); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// readSubject reads all messages of a subject, or only their headers, from any
// replica.
func (s *Store) readSubject(ctx context.Context, subject string, headersOnly bool) ([]*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	return call(ctx, s, func() ([]*entry, error) { return s.consume(ctx, subject, headersOnly) })
}

// consume is readSubject without its guarantee to return when ctx ends; see call.
func (s *Store) consume(ctx context.Context, subject string, headersOnly bool) ([]*entry, error) {
	consumer, err := s.js.CreateConsumer(ctx, s.config.stream, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		FilterSubject:     subject,
		HeadersOnly:       headersOnly,
		InactiveThreshold: consumerLife,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, fmt.Errorf("creating a consumer: %w", s.explain(err))
	}
	defer func() { go s.removeConsumer(consumer.CachedInfo().Name) }()
	var entries []*entry
	for pending := consumer.CachedInfo().NumPending; pending > 0; {
		batch, err := consumer.Fetch(min(int(pending), pullMessages), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", subject, err)
		}
		got := 0
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", subject, err)
			}
			got++
			pending = meta.NumPending
			entries = append(entries, &entry{m.Subject(), meta.Sequence.Stream, m.Headers(), m.Data(), meta.Timestamp})
		}
		if err := batch.Error(); err != nil {
			return nil, fmt.Errorf("reading %s: %w", subject, s.explain(err))
		}
		if got == 0 {
			return nil, fmt.Errorf("reading %s: nothing came", subject)
		}
	}
	return entries, nil
}

// removeConsumer removes a consumer, best effort.
func (s *Store) removeConsumer(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = s.js.DeleteConsumer(ctx, s.config.stream, name)
}
