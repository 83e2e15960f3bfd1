package jetstream

import (
	"context"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

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

// callsAtOnce is how many calls concurrently makes at the same time.
const callsAtOnce = 8

// concurrently calls do with each number below n, and returns the first error. Then the
// context of the other calls ends, and it waits for them. A panic goes on in the caller, as in
// call.
func concurrently(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	if n == 1 {
		return do(ctx, 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var panicked atomic.Pointer[string]
	var workers sync.WaitGroup
	for range min(n, callsAtOnce) {
		workers.Go(func() {
			defer func() {
				if reason := recover(); reason != nil {
					panicked.Store(new(fmt.Sprintf("%v\n%s", reason, debug.Stack())))
				}
			}()
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	if reason := panicked.Load(); reason != nil {
		panic(*reason)
	}
	return context.Cause(ctx)
}

// How much of a lock a holder takes: shared holders exclude the exclusive one only.
// As with a sync.RWMutex, later shared holders do not overtake a waiting exclusive one.
const (
	shared    = 1
	exclusive = 1 << 30
)

// newLock returns a lock that is held over requests to NATS, so that waiting for it
// must end with a context; see acquire.
func newLock() *semaphore.Weighted { return semaphore.NewWeighted(exclusive) }

// acquire takes a lock, shared or exclusive. It returns the context's error when ctx
// ends, and [store.ErrClosed] when the store is closed. Otherwise the caller must
// call release.
func (s *Store) acquire(ctx context.Context, lock *semaphore.Weighted, n int64) (release func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if err := lock.Acquire(ctx, n); err != nil {
		if s.ctx.Err() != nil {
			return nil, store.ErrClosed
		}
		return nil, err
	}
	return func() { lock.Release(n) }, nil
}

// roomLocks are locks for rooms. Rooms whose names have the same hash share one.
type roomLocks [64]*semaphore.Weighted

func newRoomLocks() (locks roomLocks) {
	for i := range locks {
		locks[i] = newLock()
	}
	return locks
}

var roomLockSeed = maphash.MakeSeed()

// of returns the lock of a room.
func (l *roomLocks) of(name string) *semaphore.Weighted {
	return l[maphash.String(roomLockSeed, name)%uint64(len(l))]
}
