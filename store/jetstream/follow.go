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
	// pullHeartbeat is how often a consumer sends a sign of life. Without two of
	// them it is taken for dead.
	pullHeartbeat = time.Second
	pullExpiry    = 30 * time.Second
	pullMessages  = 2000
	joinTimeout   = 10 * time.Second
	// consumerLife is how long a server keeps a consumer that nobody uses.
	consumerLife = 30 * time.Second
	// missingFor is how long a stream that this node has joined must be missing
	// before the node creates it again: an operator may be restoring it.
	missingFor = 5 * time.Second
	// shortFor is how long a stream must be shorter than what was read of it
	// before it counts as rolled back: a new leader may still be replaying its log.
	shortFor = 5 * time.Second
)

// run follows the stream until the store is closed, and retries after every failure
// with a pause of at most 2 s.
func (s *Store) run() {
	defer close(s.stopped)
	said := ""
	for failures := 0; s.ctx.Err() == nil; {
		began := time.Now()
		err := s.follow()
		if s.ctx.Err() != nil {
			return
		}
		s.setStatus(err)
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

// follow delivers the messages of the stream, each once, until something fails.
func (s *Store) follow() error {
	drain(s.disconnected)
	if s.away.Load() {
		return s.whyAway()
	}
	drain(s.connected) // connections made until now are checked below
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
	target := max(s.replayUntil, stream.CachedInfo().State.LastSeq)
	messages, err := consumer.Messages(jetstream.PullMaxMessages(pullMessages), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("consuming: %w", err)
	}
	defer messages.Stop()
	// stop on a new connection, because that server may have other messages, and on
	// a lost one, because the consumer would wait in vain
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
		if err := s.arrive(ctx, e, meta.NumPending); err != nil {
			return err
		}
		if meta.NumPending == 0 && e.seq < target {
			if err := s.reach(ctx, target); err != nil {
				return err
			}
		}
	}
}

// abandon removes a consumer, best effort.
func (s *Store) abandon(stream jetstream.Stream, consumer jetstream.Consumer) {
	if s.away.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
}

// arrive processes the next message that the consumer has returned, which knows of
// pending further ones.
func (s *Store) arrive(ctx context.Context, e *entry, pending uint64) error {
	if e.seq != s.position+1 && e.seq > s.replayUntil+1 {
		// a sequence is missing only if its message was removed, except in old servers
		next, err := s.get(ctx, getRequest{Seq: s.position + 1, NextFor: ">"})
		if err != nil {
			return err
		}
		if next.seq < e.seq {
			return fmt.Errorf("consuming: message %d was skipped", next.seq)
		}
		if err := s.audit(ctx, e.seq-1, pending+1); err != nil {
			return err
		}
	}
	s.addMark(e)
	s.accept(e)
	if e.seq >= s.replayUntil {
		s.setStatus(nil)
	}
	return nil
}

// reach moves the position to seq if there is no message up to it. It asks the
// leader, because the consumer's replica may lag behind.
func (s *Store) reach(ctx context.Context, seq uint64) error {
	if seq > s.position {
		next, err := s.get(ctx, getRequest{Seq: s.position + 1, NextFor: ">"})
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case next.seq <= seq:
			return nil // the consumer will return it
		}
	}
	if seq > max(s.position, s.replayUntil) {
		if err := s.audit(ctx, seq, 0); err != nil {
			return err
		}
	}
	s.advance(seq)
	if seq >= s.replayUntil {
		s.setStatus(nil)
	}
	return nil
}

// audit tells the hub which rooms may have lost messages up to upTo that were removed
// before this node has read them. The stream has unread entries after that.
func (s *Store) audit(ctx context.Context, upTo, unread uint64) error {
	s.mu.RLock()
	before, cutoff := s.latest, s.limits.Cutoff(time.Now())
	s.mu.RUnlock()
	expired := cutoff.After(before)
	if !expired {
		if few, err := s.isFew(ctx, unread); few || err != nil {
			return err
		}
	}
	stored, last, err := s.counts(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	full, position := s.physical, s.position
	s.index.restart(store.Oldest(last, store.ID{Ms: last.Ms, N: upTo}), stored)
	s.mu.Unlock()
	if expired {
		// any number of messages of any room may have expired
		s.missed(false)
		return nil
	}
	if peer, ok := s.hub.(store.Peer); ok {
		peer.Skipped(before)
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
			s.hub.Forgotten(name, id.Prev(), store.ID{})
		}
	}
	return nil
}

// isFew reports whether unread entries are too few for a message to have been removed for
// their sake: retention by count removes one only when its room has as many newer ones,
// which would be unread too. What else is removed is what a revision has replaced, or was
// deleted, and the entry that says so is still to come. The numbers are halved, because
// that of unread entries need not be exact.
func (s *Store) isFew(ctx context.Context, unread uint64) (bool, error) {
	if unread < slack/2 {
		return true, nil
	}
	stream, err := s.stream(ctx)
	if err != nil {
		return false, err
	}
	return int64(unread) < stream.CachedInfo().Config.MaxMsgsPerSubject/2, nil
}

// waiter waits until this node has read the stream up to a sequence.
type waiter struct {
	seq   uint64
	woken chan struct{}
}

// waitFor waits until this node has read the stream up to a sequence, or until it
// begins to read the stream anew.
func (s *Store) waitFor(ctx context.Context, seq uint64) error {
	s.mu.Lock()
	if s.position >= seq {
		s.mu.Unlock()
		return nil
	}
	w := waiter{seq, make(chan struct{})}
	s.waiters = append(s.waiters, w)
	s.mu.Unlock()
	var err error
	select {
	case <-w.woken:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.ctx.Done():
		err = store.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters = slices.DeleteFunc(s.waiters, func(other waiter) bool { return other.woken == w.woken })
	return err
}

// wakeWaiters wakes those who wait for what was read by now. The caller holds the
// lock.
func (s *Store) wakeWaiters() {
	rest := s.waiters[:0]
	for _, w := range s.waiters {
		if w.seq <= s.position {
			close(w.woken)
		} else {
			rest = append(rest, w)
		}
	}
	clear(s.waiters[len(rest):])
	s.waiters = rest
}

// wakeAllWaiters wakes all, because their sequences may never come. The caller holds
// the lock.
func (s *Store) wakeAllWaiters() {
	for _, w := range s.waiters {
		close(w.woken)
	}
	s.waiters = nil
}

// advance moves the position to a sequence without a message to deliver.
func (s *Store) advance(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = max(s.position, seq)
	s.wakeWaiters()
}
