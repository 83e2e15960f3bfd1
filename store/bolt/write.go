package bolt

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Limits of one transaction: high enough to share the cost of a sync, and low
// enough to take only a fraction of the time that publishers wait at most. A record
// takes 3 to 8 µs, and 10 µs more for each kilobyte.
const (
	maxTxRecords = 16_384
	maxTxBytes   = 8 << 20
	// trailingRecords is how many records a transaction writes at most in
	// addition to those of its changes.
	trailingRecords = 64
	// readsPerRecord is how many records can be read in the time that writing
	// one takes.
	readsPerRecord = 64
)

// cost is the most that a change does to the file.
type cost struct {
	records int // written or removed
	bytes   int
}

func (c cost) plus(other cost) cost {
	return cost{c.records + other.records, c.bytes + other.bytes}
}

// fits reports whether one transaction can hold changes of that cost.
func (c cost) fits() bool { return c.records <= maxTxRecords && c.bytes <= maxTxBytes }

// change is a change of the file that waits for the next transaction.
type change struct {
	// do makes the change. It may refuse with an error of isRefusal before it
	// has changed anything. Any other error rolls the transaction back.
	do   func(*transaction) error
	cost cost
	// last is set if no other change may follow in the same transaction.
	last bool
	done chan error // receives the outcome; it has room for one element
}

// isRefusal reports whether an error concerns only the change that caused it.
func isRefusal(err error) bool {
	return errors.Is(err, store.ErrTooManyRooms) || store.IsRefusal(err)
}

// submit makes a change in the next transaction and returns when it is on disk. If
// ctx ends before that transaction begins, the change is not made.
func (s *Store) submit(ctx context.Context, cost cost, do func(*transaction) error) error {
	return s.enqueue(ctx, &change{do: do, cost: cost, done: make(chan error, 1)})
}

// submitLast is submit for a change that removes messages, see change.last. Such a
// change limits its own cost.
func (s *Store) submitLast(ctx context.Context, do func(*transaction) error) error {
	return s.enqueue(ctx, &change{do: do, last: true, done: make(chan error, 1)})
}

func (s *Store) enqueue(ctx context.Context, c *change) error {
	s.mu.Lock()
	if err := s.state(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	wake.Up(s.wake)
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.waiting, c); i >= 0 {
			s.waiting = slices.Delete(s.waiting, i, i+1)
		}
		return ctx.Err()
	}
}

// write makes all changes, until the store is closed and no change waits.
func (s *Store) write() {
	defer close(s.written)
	s.loadNonces()
	for {
		changes, closed := s.take()
		if len(changes) > 0 {
			s.commit(changes)
			// let publishers that have their answer publish again before the next
			// transaction begins: otherwise they would be in two groups that take
			// turns, and each sync would serve only half of them
			runtime.Gosched()
			continue
		}
		if closed {
			s.eraseAll()
			return
		}
		<-s.wake
	}
}

// take returns the changes of the next transaction: those that have waited longest,
// as many as fit.
func (s *Store) take() (changes []*change, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, sum := 0, cost{}
	for last := false; !last && n < len(s.waiting); n++ {
		if sum = sum.plus(s.waiting[n].cost); n > 0 && !sum.fits() {
			break
		}
		last = s.waiting[n].last
	}
	changes, s.waiting = s.waiting[:n:n], s.waiting[n:]
	return changes, s.closed
}

// putBack puts changes at the front of the queue again.
func (s *Store) putBack(changes []*change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(slices.Clip(changes), s.waiting...)
}

// commit makes changes in one transaction, delivers the messages that it has stored,
// and then reports the outcome to the callers. If changes cost more than expected,
// the remaining ones wait for the next transaction.
func (s *Store) commit(changes []*change) {
	var tx *transaction
	answers, made := make([]error, len(changes)), len(changes)
	err := s.damaged()
	if err == nil {
		err = protect(func() error {
			return s.file.db.Update(func(bolt *bbolt.Tx) (err error) {
				if tx, err = s.begin(bolt); err != nil {
					return err
				}
				for i, c := range changes {
					if tx.work >= maxTxRecords {
						made = i
						break
					}
					if answers[i] = c.do(tx); answers[i] != nil && !isRefusal(answers[i]) {
						return answers[i]
					}
				}
				return tx.finish()
			})
		})
		if err == nil {
			err = s.file.present() // or a restart would not find acknowledged messages
		}
		if err != nil {
			err = s.failed(err)
		}
	}
	if err == nil {
		s.publish(tx)
	} else {
		s.eraser.forget()
		made = len(changes)
	}
	if made < len(changes) {
		s.putBack(changes[made:])
	}
	for i, c := range changes[:made] {
		if err != nil {
			answers[i] = err
		}
		c.done <- answers[i]
	}
}

// publish updates the store and its hub after a transaction was committed.
func (s *Store) publish(tx *transaction) {
	s.file.readers.commit(tx.id)
	s.nonces.commit(tx)
	s.trims.commit(tx)
	if s.eraser.commit(tx.erase) {
		wake.Up(s.trims.wake)
	}
	if s.idle != nil {
		s.idle.commit(tx)
	}
	// before the delivery, or the id of a reader that returns at once might be
	// taken for one from the future
	latest := tx.log.latest
	s.latest.Store(&latest)
	tx.tell()
}
