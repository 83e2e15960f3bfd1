package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// pullHeartbeat finds a consumer dead after two of them.
	pullHeartbeat = time.Second
	pullExpiry    = 30 * time.Second
	pullMessages  = 2000
	joinTimeout   = 10 * time.Second
	// consumerLife is how long a consumer outlives its node.
	consumerLife = 30 * time.Second
	// missingFor is how long a stream must be missing before a node that has
	// known it creates it anew: an operator may be about to restore it.
	missingFor = 5 * time.Second
	// settle is how long a stream may be shorter than what was read of it: a
	// new leader may still be catching up with its own log.
	settle = 5 * time.Second
)

// run follows the stream until the store is closed.
func (s *Store) run() {
	defer close(s.stopped)
	said := ""
	for failures := 0; s.ctx.Err() == nil; {
		began := time.Now()
		err := s.follow()
		if s.ctx.Err() != nil {
			return
		}
		s.setUsable(err)
		if peer, ok := s.hub.(store.Peer); ok {
			peer.Reached(err)
		}
		if time.Since(began) > time.Minute {
			failures, said = 0, ""
		}
		if err.Error() != said {
			said = err.Error()
			s.logger.Warn("cannot follow the stream for now", zap.Error(err))
		}
		failures++
		pause := min(2*time.Second, 50*time.Millisecond<<min(failures, 10))
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-s.connected:
		case <-s.ctx.Done():
		}
	}
}

// follow delivers what is in the stream until something is not as it should
// be. What it has delivered it never delivers again.
func (s *Store) follow() error {
	drain(s.disconnected)
	if s.away.Load() {
		return s.whyAway()
	}
	drain(s.connected) // what came until now is about to be checked
	stream, err := s.verified(s.ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       s.position + 1,
		InactiveThreshold: consumerLife,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return fmt.Errorf("creating a consumer: %w", s.explain(err))
	}
	defer s.abandon(stream, consumer)
	if consumer.CachedInfo().NumPending == 0 {
		if err := s.reach(ctx, stream.CachedInfo().State.LastSeq); err != nil {
			return err
		}
	}
	target := max(s.warmUntil, stream.CachedInfo().State.LastSeq)
	messages, err := consumer.Messages(jetstream.PullMaxMessages(pullMessages), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("consuming: %w", err)
	}
	defer messages.Stop()
	// a new connection may be to a server with another past; without one the
	// consumer would wait in silence
	go func() {
		select {
		case <-s.connected:
		case <-s.disconnected:
		case <-ctx.Done():
		}
		messages.Stop()
	}()
	for expected := uint64(1); ; expected++ {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("consuming: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("consuming: %w", err)
		}
		if meta.Sequence.Consumer != expected {
			return fmt.Errorf("consuming: message %d came instead of %d", meta.Sequence.Consumer, expected)
		}
		e := &entry{m.Subject(), meta.Sequence.Stream, m.Headers(), m.Data(), meta.Timestamp}
		if err := s.arrive(ctx, e); err != nil {
			return err
		}
		if meta.NumPending == 0 && e.seq < target {
			if err := s.reach(ctx, target); err != nil {
				return err
			}
		}
	}
}

var errAway = errors.New("NATS is not connected")

// abandon removes a consumer, if that can be done now.
func (s *Store) abandon(stream jetstream.Stream, consumer jetstream.Consumer) {
	if s.away.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
}

// verified returns the stream once it is certain that it still begins with
// what was delivered of it. Otherwise it begins anew, and tells the readers.
func (s *Store) verified(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if !s.known() {
		stream, err := s.create(ctx, s.wanted())
		if err != nil {
			return nil, err
		}
		if err := s.compare(stream.CachedInfo().Config, s.wanted()); err != nil {
			return nil, err
		}
		return stream, s.join(ctx, stream)
	}
	stream, err := s.stream(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if s.missing.IsZero() {
			s.missing = time.Now()
		}
		if time.Since(s.missing) < missingFor {
			return nil, err
		}
		stream, err = s.create(ctx, s.wanted())
	}
	if err != nil {
		return nil, err
	}
	s.missing = time.Time{}
	switch verdict, err := s.judge(ctx, stream.CachedInfo()); {
	case err != nil:
		return nil, err
	case verdict == sameLife:
		s.short = time.Time{}
		return stream, nil
	case verdict == shorter:
		if s.short.IsZero() {
			s.short = time.Now()
		}
		if time.Since(s.short) < settle {
			return nil, errShort
		}
	}
	s.short = time.Time{}
	s.logger.Error("the stream has lost messages or is another one; readers are told",
		zap.Uint64("delivered", s.position), zap.Uint64("last", stream.CachedInfo().State.LastSeq))
	if err := s.join(ctx, stream); err != nil {
		return nil, err
	}
	s.missed(true)
	return stream, nil
}

var errShort = errors.New("the stream is shorter than what was read of it")

type verdict int

const (
	sameLife  verdict = iota
	shorter           // it lacks what was delivered of it
	otherLife         // it holds something else in that place
)

// judge compares a stream with what was delivered of it.
func (s *Store) judge(ctx context.Context, info *jetstream.StreamInfo) (verdict, error) {
	if !info.Created.Equal(s.created) {
		return otherLife, nil
	}
	if info.State.LastSeq < s.position {
		return shorter, nil
	}
	// the newest of what was delivered that is still there
	for _, m := range slices.Backward(s.marks) {
		e, err := s.get(ctx, getRequest{Seq: m.seq})
		if errors.Is(err, store.ErrNotFound) {
			continue // removed, which proves nothing
		}
		if err != nil {
			return sameLife, err
		}
		if !e.time.Equal(m.time) {
			return otherLife, nil
		}
		return sameLife, nil
	}
	return sameLife, nil
}

// mark is a place in the stream that was delivered.
type mark struct {
	seq  uint64
	time time.Time
}

const maxMarks = 8

func (s *Store) addMark(e *entry) {
	if len(s.marks) == maxMarks {
		s.marks = append(s.marks[:0], s.marks[1:]...)
	}
	s.marks = append(s.marks, mark{e.seq, e.time})
}

// arrive takes the next message of the stream.
func (s *Store) arrive(ctx context.Context, e *entry) error {
	if e.seq != s.position+1 && e.seq > s.warmUntil+1 {
		// not one sequence is left out but by removal
		if err := s.audit(ctx, e.seq-1); err != nil {
			return err
		}
	}
	s.addMark(e)
	s.accept(e)
	if e.seq >= s.warmUntil {
		s.setUsable(nil)
	}
	return nil
}

// reach moves on to a sequence if there is no message until there. What serves
// the consumer may lag behind, so only the leader knows.
func (s *Store) reach(ctx context.Context, seq uint64) error {
	if seq > s.position {
		next, err := s.get(ctx, getRequest{Seq: s.position + 1, NextFor: ">"})
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case next.seq <= seq:
			return nil // it will come
		}
	}
	if seq > max(s.position, s.warmUntil) {
		if err := s.audit(ctx, seq); err != nil {
			return err
		}
	}
	s.advance(seq)
	if seq >= s.warmUntil {
		s.setUsable(nil)
	}
	return nil
}

// audit finds out which rooms may have lost messages, up to a sequence, that
// were removed before they came here.
func (s *Store) audit(ctx context.Context, upTo uint64) error {
	stored, last, err := s.counts(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	full, before, position := s.physical, s.latest, s.position
	s.index.doubt(oldest(last, store.ID{Ms: last.Ms, N: upTo}), stored)
	cutoff := s.cutoff()
	s.mu.Unlock()
	if cutoff.After(before) {
		// any room may have lost any number to old age
		s.missed(false)
		return nil
	}
	for name, n := range stored {
		if n < full || !s.hub.Reading(name) {
			continue
		}
		first, err := s.get(ctx, getRequest{Seq: 1, NextFor: s.subjects.room(name)})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		id, err := first.id()
		if err == nil && first.seq > position+1 {
			s.hub.Forgotten(name, id.Prev())
		}
	}
	return nil
}
