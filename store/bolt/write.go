package bolt

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
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
	s.nonces.commit(tx)
	s.trims.commit(tx)
	if s.idle != nil {
		s.idle.commit(tx)
	}
	// before the delivery, or the id of a reader that returns at once might be
	// taken for one from the future
	latest := tx.log.latest
	s.latest.Store(&latest)
	tx.tell()
}

// transaction is a write transaction, with what it has changed so far. Only the
// writing goroutine uses it.
type transaction struct {
	store    *Store
	bolt     *bbolt.Tx
	messages *bbolt.Bucket
	rooms    *bbolt.Bucket
	retention
	now time.Time
	log logRecord
	// records holds the room records that were read, by room number.
	records map[uint64]*openRecord
	// work is how many records were written or removed so far. Reads count in
	// units of readsPerRecord.
	work int

	stored  []*store.Message           // to be delivered
	notices []notice              // to be told to the hub
	fresh   map[nonceKey]store.ID // messages and changes made in this transaction
	kept    []nonceEntry          // new nonces
	resized map[store.ID]int      // sizes of the records of nonces that were replaced
	garbage map[uint64]int        // numbers of messages that were hidden, by room
	urgent  []uint64              // rooms to trim soon
	active  []string              // rooms published to
	dropped map[string]bool       // rooms dropped
	erase   bool                  // what it has removed must be overwritten

	droppable *idle.Search[string] // nil until a room has to be dropped

	expired int // how many of the oldest nonces were removed
}

// openRecord is a room's record in a transaction. finish writes those that have
// changed.
type openRecord struct {
	roomRecord
	changed bool
	settled bool // see settle
	newest  newest
}

// notice is a call of the hub after the commit.
type notice struct {
	// stored is how many messages of the transaction come before it.
	stored int
	call   func()
}

// notify adds a call of the hub, in the order of the log.
func (tx *transaction) notify(call func()) {
	tx.notices = append(tx.notices, notice{len(tx.stored), call})
}

// tell passes on to the hub what was stored, changed and removed, in the order of the
// log.
func (tx *transaction) tell() {
	deliver := func(messages []*store.Message) {
		if len(messages) > 0 {
			tx.store.hub.Deliver(messages)
		}
	}
	delivered := 0
	for _, n := range tx.notices {
		deliver(tx.stored[delivered:n.stored:n.stored])
		delivered = n.stored
		n.call()
	}
	deliver(tx.stored[delivered:])
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
	// fill pages, because rooms grow at their end
	tx.messages.FillPercent = 0.9
	return tx, nil
}

// finish writes the changed records of rooms and of the log, and removes expired
// nonces.
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
