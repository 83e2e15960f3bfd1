package jetstream

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// ask has NATS do something and returns what came of it. If ctx ends before, or
// the store is closed, it does not wait for that any longer: nats.go looks at
// no context while it waits for the lock of its connection, and that is held
// while it writes to a server that reads nothing, and while it connects. So do
// must not touch what its caller goes on to use.
func ask[T any](ctx context.Context, s *Store, do func() (T, error)) (T, error) {
	type result struct {
		value    T
		err      error
		panicked string
	}
	var none T
	if s.away.Load() {
		return none, s.whyAway()
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if reason := recover(); reason != nil {
				r.panicked = fmt.Sprintf("%v\n%s", reason, debug.Stack())
			}
			done <- r
		}()
		r.value, r.err = do()
	}()
	select {
	case r := <-done:
		if r.panicked != "" {
			panic(r.panicked) // where one costs no more than the caller
		}
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-s.ctx.Done():
		return none, store.ErrClosed
	}
}

// order is ask for what has no answer but an error.
func order(ctx context.Context, s *Store, do func() error) error {
	_, err := ask(ctx, s, func() (struct{}, error) { return struct{}{}, do() })
	return err
}
