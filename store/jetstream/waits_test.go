package jetstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Each wait ends with its context, and when the store is closed. Nothing is left of it.
func TestEachWaitEnds(t *testing.T) {
	for name, wait := range map[string]func(context.Context, *Store) error{
		"for a replica that lags": func(ctx context.Context, s *Store) error { return s.waitFor(ctx, 7) },
		"for a message to come back": func(ctx context.Context, s *Store) error {
			s.mu.Lock()
			p := s.addPending("key", "subject", nil)
			s.mu.Unlock()
			return s.await(ctx, p)
		},
		"for what may succeed later": func(ctx context.Context, s *Store) error {
			return s.retry(ctx, nil, func() error { return nats.ErrNoResponders })
		},
		"for NATS to answer": func(ctx context.Context, s *Store) error {
			never := make(chan struct{})
			go func() { <-s.stopped; close(never) }()
			return callErr(ctx, s, func() error { <-never; return nil })
		},
		"for another read of the room": func(ctx context.Context, s *Store) error {
			if _, err := s.acquire(context.Background(), s.loading.of("a"), exclusive); err != nil {
				return err
			}
			return s.load(ctx, "a")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, closed := range []bool{false, true} {
					s := &Store{pending: make(map[string]*pending), index: newIndex(), loading: newRoomLocks(), stopped: make(chan struct{})}
					s.ctx, s.cancel = context.WithCancel(context.Background())
					ctx, cancel := context.WithCancel(context.Background())
					done := make(chan error, 1)
					go func() { done <- wait(ctx, s) }()
					synctest.Wait()
					select {
					case err := <-done:
						t.Fatalf("it did not wait: %v", err)
					default:
					}
					want := context.Canceled
					if closed {
						want = store.ErrClosed
						s.cancel()
					} else {
						cancel()
					}
					synctest.Wait()
					select {
					case err := <-done:
						if !errors.Is(err, want) {
							t.Errorf("it ends with %v, want %v", err, want)
						}
					default:
						t.Errorf("it waits on, and its end is %v", want)
					}
					if len(s.waiters) > 0 {
						t.Errorf("%d are still expected", len(s.waiters))
					}
					cancel()
					s.cancel()
					close(s.stopped)
				}
			})
		})
	}
}
