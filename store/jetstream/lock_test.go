package jetstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// request asks for a lock in another goroutine.
type request struct {
	done    chan struct{}
	release func()
	err     error
}

func ask(ctx context.Context, s *Store, n int64) *request {
	r := &request{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.release, r.err = s.acquire(ctx, s.batching, n)
	}()
	synctest.Wait()
	return r
}

// held reports whether the request was granted.
func (r *request) held() bool {
	select {
	case <-r.done:
		return r.err == nil
	default:
		return false
	}
}

func lockStore(t *testing.T) *Store {
	s := &Store{batching: newLock()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	t.Cleanup(s.cancel)
	return s
}

func TestAnExclusiveHolderKeepsOthersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := lockStore(t)
		first, second := ask(t.Context(), s, shared), ask(t.Context(), s, shared)
		if !first.held() || !second.held() {
			t.Fatal("shared holders exclude each other")
		}
		alone := ask(t.Context(), s, exclusive)
		late := ask(t.Context(), s, shared)
		if first.release(); alone.held() || late.held() {
			t.Errorf("beside a shared holder, exclusive: %t, and one that came later: %t", alone.held(), late.held())
		}
		second.release()
		synctest.Wait()
		if !alone.held() || late.held() {
			t.Errorf("exclusive: %t, and beside it shared: %t", alone.held(), late.held())
		}
		alone.release()
		synctest.Wait()
		if !late.held() {
			t.Error("the lock is not free after its exclusive holder")
		}
	})
}

func TestAWaitForALockEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(cancel func(), s *Store)
		want error
	}{
		{"with its context", func(cancel func(), _ *Store) { cancel() }, context.Canceled},
		{"when the store is closed", func(_ func(), s *Store) { s.cancel() }, store.ErrClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := lockStore(t)
				holder := ask(t.Context(), s, shared)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waiting := ask(ctx, s, exclusive)
				behind := ask(t.Context(), s, shared)
				test.end(cancel, s)
				<-waiting.done
				if !errors.Is(waiting.err, test.want) {
					t.Errorf("it ends with %v, want %v", waiting.err, test.want)
				}
				<-behind.done // either it holds the lock now, or the store is closed
				if s.ctx.Err() == nil && !behind.held() {
					t.Errorf("one behind it ends with %v", behind.err)
				}
				holder.release()
			})
		})
	}
}
