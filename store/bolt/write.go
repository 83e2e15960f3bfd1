package bolt

import (
	"container/list"
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What one transaction takes in, if more waits: enough to share a sync, and so
// little that it is over in a fraction of what publishers wait for the store. A
// record takes 3 to 8 µs, a kilobyte 10 µs more.
const (
	maxTxRecords = 16_384
	maxTxBytes   = 8 << 20
	// trailingRecords is what a transaction writes at most besides what its
	// changes do.
	trailingRecords = 64
	// readsPerRecord is how many records can be read in the time that it takes
	// to write one.
	readsPerRecord = 64
)

// cost is what a change does to the file, at most.
type cost struct {
	records int // written or removed, at its end too
	bytes   int
}

func (c cost) plus(other cost) cost {
	return cost{c.records + other.records, c.bytes + other.bytes}
}

// fits reports whether a transaction can hold as much.
func (c cost) fits() bool { return c.records <= maxTxRecords && c.bytes <= maxTxBytes }

// change is what someone wants to have done in the next transaction.
type change struct {
	// do may refuse, with an error of isRefusal, before it has changed
	// anything. Any other error undoes the whole transaction.
	do   func(*transaction) error
	cost cost
	// last tells that nothing else may be done after it in one transaction.
	last bool
	done chan error
}

// isRefusal reports whether an error is one caller's alone.
func isRefusal(err error) bool {
	return errors.Is(err, store.ErrTooManyRooms) || errors.Is(err, store.ErrNotFound)
}

// submit has a change made and waits until it is on disk. If ctx ends before
// the change is under way, it is not made.
func (s *Store) submit(ctx context.Context, cost cost, do func(*transaction) error) error {
	return s.enqueue(ctx, &change{do: do, cost: cost, done: make(chan error, 1)})
}

// submitLast is submit for a change that removes messages. It sees itself how
// much it may do.
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
	s.wakeWriter()
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

func (s *Store) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write makes all changes until the store is closed and none waits.
func (s *Store) write() {
	defer close(s.written)
	s.loadNonces()
	for {
		changes, closed := s.take()
		if len(changes) > 0 {
			s.commit(changes)
			// those who were answered may publish again first: else they would
			// share the sync after the next, and each be shared by half as many
			runtime.Gosched()
			continue
		}
		if closed {
			return
		}
		<-s.wake
	}
}

// take returns what the next transaction takes in: those who have waited
// longest, as many as fit.
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

// putBack has changes be the first of the next transaction.
func (s *Store) putBack(changes []*change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(slices.Clip(changes), s.waiting...)
}

// commit makes changes in one transaction. What it has stored is delivered
// before anyone is answered. Changes wait for the next one if those before them
// turn out to cost more than they seemed to.
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
			err = s.file.present() // or a restart would not find what was answered
		}
		if err != nil {
			err = s.failed(err)
		}
	}
	if err == nil {
		s.tell(tx)
	} else {
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

func (s *Store) damaged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damage
}

// tell has the store and its hub know what is on disk now.
func (s *Store) tell(tx *transaction) {
	s.nonces.commit(tx)
	s.trims.commit(tx)
	if s.idle != nil {
		s.idle.commit(tx)
	}
	// before the delivery, or a reader might come back with an id that is
	// taken for one from the future
	latest := tx.log.latest
	s.latest.Store(&latest)
	if len(tx.stored) > 0 {
		s.hub.Deliver(tx.stored)
	}
	for _, tell := range tx.tell {
		tell()
	}
}

// transaction is a write to the file. It sees what is done in it.
type transaction struct {
	store    *Store
	bolt     *bbolt.Tx
	messages *bbolt.Bucket
	rooms    *bbolt.Bucket
	retention
	now time.Time
	log logRecord
	// records are those of the rooms that it has looked at, by number.
	records map[uint64]*openRecord
	// work is how many records were written and removed so far; those that
	// were only read count for as much as they cost.
	work int

	stored  []*store.Message           // to be delivered
	fresh   map[nonceKey]store.Receipt // by their nonces
	kept    []nonceEntry
	tell    []func() // what the hub is told then
	garbage map[uint64]int
	urgent  []uint64 // rooms to be trimmed soon
	active  []string // rooms published to
	dropped map[string]bool

	dropping bool          // it has begun to look for rooms to drop
	idlest   *list.Element // the one to look at next; nil if there is none left

	expired int // of the oldest nonces
}

// openRecord is a room's record in a transaction.
type openRecord struct {
	roomRecord
	changed bool
}

func (s *Store) begin(bolt *bbolt.Tx) (*transaction, error) {
	log, err := getLog(bolt)
	if err != nil {
		return nil, err
	}
	tx := &transaction{
		store: s, bolt: bolt, messages: bolt.Bucket(messagesBucket), rooms: bolt.Bucket(roomsBucket),
		retention: s.retention(), now: s.now(), log: log, records: make(map[uint64]*openRecord),
	}
	// rooms grow at their end
	tx.messages.FillPercent = 0.9
	return tx, nil
}

// finish writes what was changed in passing.
func (tx *transaction) finish() error {
	if err := tx.expireNonces(); err != nil {
		return err
	}
	for number, r := range tx.records {
		if !r.changed {
			continue
		}
		key := stateKey(number)
		if err := tx.messages.Put(key, seal(key, r.encode())); err != nil {
			return err
		}
		tx.work++
	}
	return tx.bolt.Bucket(logBucket).Put(logKey, seal(logKey, tx.log.encode()))
}

// plain leaves the file's path out of an error that is shown to publishers.
func (s *Store) plain(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	if text := err.Error(); strings.Contains(text, s.path) { // bbolt's, of a file that cannot grow
		return errors.New(strings.ReplaceAll(text, s.path, "the file"))
	}
	return err
}
