package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// How much of the stream's end a node reads when it joins, to know the nonces
// and the order of its rooms.
const (
	warmMessages = 20_000
	warmBytes    = 16 << 20
)

// join begins a stream of which nothing was delivered yet.
func (s *Store) join(ctx context.Context, stream jetstream.Stream) error {
	info := stream.CachedInfo()
	stored, last, err := s.counts(ctx)
	if err != nil {
		return err
	}
	x := newIndex()
	x.begun = last
	x.whole = info.State.LastSeq == info.State.Msgs
	var known nonces
	if err := s.readChanges(ctx, x, &known); err != nil {
		return err
	}
	for room, n := range stored {
		x.expect(room, n)
	}

	batches := newerThan(s.nc, 2, 11) // which the connection may take its time to tell

	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = x
	s.created = info.Created
	s.marks = nil
	s.recent = recent{}
	s.nonces = known
	s.batches.Store(batches)
	s.atomic = info.Config.AllowAtomicPublish
	if s.latest.N > last.N {
		s.latest.Ms++ // or it would not be newer than what was delivered
	}
	s.latest = store.ID{Ms: max(last.Ms, s.latest.Ms), N: last.N}
	s.warmUntil = last.N
	s.position = max(info.State.FirstSeq, 1) - 1
	if n := warmUp(info.State); last.N-s.position > n {
		s.position = last.N - n
	}
	s.stopWaiting()
	return nil
}

// warmUp returns how many messages to read.
func warmUp(state jetstream.StreamState) uint64 {
	if state.Msgs == 0 {
		return 0
	}
	size := state.Bytes/state.Msgs + 1
	return max(1, min(warmMessages, warmBytes/size))
}

// known tells whether a life of the stream has been joined.
func (s *Store) known() bool { return !s.created.IsZero() }

// counts returns how many messages each room has in the stream, and the id of
// the last message.
func (s *Store) counts(ctx context.Context) (map[string]int, store.ID, error) {
	stream, err := s.stream(ctx)
	if err != nil {
		return nil, store.ID{}, err
	}
	info, err := ask(ctx, s, func() (*jetstream.StreamInfo, error) {
		return stream.Info(ctx, jetstream.WithSubjectFilter(s.subjects.rooms()))
	})
	if err != nil {
		return nil, store.ID{}, s.streamError(err)
	}
	rooms := make(map[string]int, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		if name, ok := s.subjects.roomOf(subject); ok {
			rooms[name] = int(n)
		}
	}
	s.mu.Lock()
	s.physical = int(info.Config.MaxMsgsPerSubject)
	s.mu.Unlock()
	last := store.ID{N: info.State.LastSeq}
	if last.N > 0 {
		last.Ms = max(0, info.State.LastTime.UnixMilli())
	}
	return rooms, last, nil
}

// last returns the last sequence of the stream.
func (s *Store) last(ctx context.Context) (uint64, error) {
	stream, err := s.stream(ctx)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// readChanges reads all changes that the stream still has.
func (s *Store) readChanges(ctx context.Context, x *index, n *nonces) error {
	entries, err := s.readSubject(ctx, s.subjects.changes(), false)
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, err := e.id()
		if err != nil {
			continue
		}
		if c, err := decodeChange(e.data); err == nil {
			c.apply(x, n, id, time.Now())
		}
	}
	// older ones may have been pushed out
	if len(entries) >= slack {
		if id, err := entries[0].id(); err == nil {
			x.unknown, n.unknown = store.Newest(x.unknown, id), id
		}
	}
	return nil
}

// load makes all ids of a room known.
func (s *Store) load(ctx context.Context, room string) error {
	gate := s.loading.of(room)
	if err := gate.enter(ctx, s.ctx.Done(), true); err != nil {
		return err
	}
	defer gate.leave()
	for {
		s.mu.RLock()
		x, r := s.index, s.index.rooms[room]
		partial := r != nil && r.partial
		var known store.ID
		if partial && len(r.ids) > 0 {
			known = r.ids[0]
		}
		s.mu.RUnlock()
		if !partial {
			return nil
		}
		ids, err := s.readIDs(ctx, room)
		if err != nil {
			return err
		}
		complete, err := s.complete(ctx, room, ids, known)
		if err != nil {
			return err
		}
		if complete {
			s.mu.Lock()
			if s.index == x {
				x.fill(room, ids, s.limits.Count, s.physical)
			}
			s.mu.Unlock()
			continue // to see that it is so
		}
		// the replica that answered lags behind
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return store.ErrClosed
		}
	}
}

// complete reports whether ids, read from any replica, are all that a room has
// before known, or all if that is zero.
func (s *Store) complete(ctx context.Context, room string, ids []store.ID, known store.ID) (bool, error) {
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

// readSubject reads all messages of a subject, or their headers, as they lie
// in some replica.
func (s *Store) readSubject(ctx context.Context, subject string, headersOnly bool) ([]*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	return ask(ctx, s, func() ([]*entry, error) { return s.consume(ctx, subject, headersOnly) })
}

// consume is readSubject, with no end but those that nats.go knows.
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

func (s *Store) removeConsumer(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = s.js.DeleteConsumer(ctx, s.config.stream, name)
}

// newerThan reports whether a server is of that version or a newer one.
func newerThan(nc *nats.Conn, major, minor int) bool {
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(nc.ConnectedServerVersion(), "%d.%d", &gotMajor, &gotMinor); err != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
