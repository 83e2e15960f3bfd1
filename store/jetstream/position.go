package jetstream

import (
	"context"
	"slices"

	"github.com/sse-chat/caddy-sse-chat/store"
)

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
