package jetstream

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// call calls do, which sends a request to NATS, and returns its result. It returns
// earlier if ctx ends or the store is closed. nats.go cannot do that: it ignores
// contexts while it waits for its connection's lock, which is held while it connects
// and while it writes to a server that does not read. do must not write to variables
// of its caller, because it may run on after call has returned.
func call[T any](ctx context.Context, s *Store, do func() (T, error)) (T, error) {
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
			panic(r.panicked) // in the caller, which recovers at the cost of one request
		}
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-s.ctx.Done():
		return none, store.ErrClosed
	}
}

// callErr is call for a request that has no result but an error.
func callErr(ctx context.Context, s *Store, do func() error) error {
	_, err := call(ctx, s, func() (struct{}, error) { return struct{}{}, do() })
	return err
}
