package jetstream

import (
	"context"
	"hash/maphash"

	"golang.org/x/sync/semaphore"

	"github.com/sse-chat/caddy-sse-chat/store"
)

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
