package jetstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// load reads the revisions and the ids of a room from the stream unless all are known.
func (s *Store) load(ctx context.Context, room string) error {
	release, err := s.acquire(ctx, s.loading.of(room), exclusive)
	if err != nil {
		return err
	}
	defer release()
	if err := s.loadRevisions(ctx, room); err != nil {
		return err
	}
	return s.loadIDs(ctx, room)
}

func (s *Store) loadIDs(ctx context.Context, room string) error {
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
			// newer ones are still to be read
			ids = slices.DeleteFunc(ids, func(id store.ID) bool { return id.N > s.position })
			left := x.leftOver(ids)
			if s.index == x {
				x.fill(room, ids, s.limits.Count, s.physical)
			}
			s.mu.Unlock()
			if len(left) > 0 {
				go s.eraseAll(left)
			}
			continue // unless the index was replaced, the room is complete now
		}
		if err := s.pauseForReplica(ctx); err != nil {
			return err
		}
	}
}

// pauseForReplica waits a moment because the replica that has answered lags behind.
func (s *Store) pauseForReplica(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return store.ErrClosed
	}
}

// loadRevisions reads the revisions of a room from the stream unless all are known.
func (s *Store) loadRevisions(ctx context.Context, room string) error {
	for {
		s.mu.RLock()
		x, known := s.index, s.index.changes.covers(room, store.ID{})
		s.mu.RUnlock()
		if known {
			return nil
		}
		entries, upToDate, err := s.readRevisions(ctx, room)
		if err != nil {
			return err
		}
		if !upToDate {
			if err := s.pauseForReplica(ctx); err != nil {
				return err
			}
			continue
		}
		if len(entries) > 0 {
			if err := s.waitFor(ctx, entries[len(entries)-1].seq); err != nil {
				return err
			}
		}
		s.mu.Lock()
		var left []uint64
		if s.index == x {
			left = s.fillRevisions(room, entries)
		}
		s.mu.Unlock()
		if len(left) > 0 {
			go s.eraseAll(left)
		}
	}
}

// readRevisions returns the revisions of a room without their posts, from any replica,
// and reports whether that is up to date.
func (s *Store) readRevisions(ctx context.Context, room string) ([]*entry, bool, error) {
	newest, err := s.get(ctx, getRequest{LastFor: s.subjects.revisionsOf(room)})
	if errors.Is(err, store.ErrNotFound) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	entries, err := s.readSubject(ctx, s.subjects.revisionsOf(room), true)
	if err != nil {
		return nil, false, err
	}
	return entries, len(entries) > 0 && entries[len(entries)-1].seq >= newest.seq, nil
}

// fillRevisions completes the index with the revisions of a room, in the order of the
// stream. It returns the sequences of those that were replaced, or whose messages were
// deleted: whoever did that could not remove them. The caller holds the lock.
func (s *Store) fillRevisions(room string, entries []*entry) (left []uint64) {
	x := s.index
	last := make(map[uint64]revisions.Revision)
	for _, e := range entries {
		at, err := e.id()
		if err != nil {
			continue
		}
		r, err := decodeHead(s.subjects, e)
		if err != nil {
			continue
		}
		if r.isMark() {
			x.changes.mark(room, r.lost, at)
			continue
		}
		if before, replaced := last[r.id.N]; replaced {
			left = append(left, before.At.N)
		}
		rev := revisions.Revision{At: at, ID: s.exact(room, r.id)}
		if r.kind == store.Delete {
			rev.Kind = revisions.Deleted
			x.bury(room, rev.ID)
		}
		last[r.id.N] = rev
	}
	older := slices.Collect(maps.Values(last))
	older = slices.DeleteFunc(older, func(rev revisions.Revision) bool {
		gone := rev.ID.N <= x.forgotten[room].lost.N || rev.Kind == revisions.Changed && x.isGone(room, rev.ID.N)
		if gone {
			left = append(left, rev.At.N)
		}
		return gone
	})
	x.changes.fill(room, older, s.limits.Count)
	return left
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
	return s.readSubjectSince(ctx, subject, nil, headersOnly)
}

// readSubjectSince is readSubject for messages that are no older than since, which may be
// nil.
func (s *Store) readSubjectSince(ctx context.Context, subject string, since *time.Time, headersOnly bool) ([]*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	for {
		entries, err := call(ctx, s, func() ([]*entry, error) { return s.consume(ctx, subject, since, headersOnly) })
		if !errors.Is(err, nats.ErrNoResponders) {
			return entries, err
		}
		// not all servers of a cluster know the new consumer yet
		if s.pauseForReplica(ctx) != nil {
			return nil, err
		}
	}
}

// consume is readSubjectSince without its guarantee to return when ctx ends; see call.
func (s *Store) consume(ctx context.Context, subject string, since *time.Time, headersOnly bool) ([]*entry, error) {
	policy := jetstream.DeliverAllPolicy
	if since != nil {
		policy = jetstream.DeliverByStartTimePolicy
	}
	consumer, err := s.js.CreateConsumer(ctx, s.config.stream, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     policy,
		OptStartTime:      since,
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
