package bolt

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// trimStep is how many messages one transaction removes, besides twice as many
// as it stores.
const trimStep = 256

// trims knows which rooms take up space for messages that nobody sees any
// more. They are removed in small steps, each in a transaction that takes in
// whatever else waits, so that no publisher waits for one more sync.
type trims struct {
	ctx    context.Context // ends when the store is closed
	cancel context.CancelFunc
	wake   chan struct{}
	ended  chan struct{} // closed when trim has ended

	mu      sync.Mutex     // guards all below
	garbage map[uint64]int // by room
	ripe    []uint64       // rooms with so much of it that it pays
	sweep   bool           // all rooms have to be looked at
}

func (t *trims) init() {
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wake, t.ended = make(chan struct{}, 1), make(chan struct{})
	t.garbage = make(map[uint64]int)
	t.sweepSoon()
}

func (t *trims) close() {
	t.cancel()
	<-t.ended
}

func (t *trims) sweepSoon() {
	t.mu.Lock()
	t.sweep = true
	t.mu.Unlock()
	t.wakeUp()
}

func (t *trims) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// commit takes over what a transaction has done.
func (t *trims) commit(tx *transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	enough := min(max(tx.limits.Count/8, 8), trimStep)
	for number, n := range tx.garbage {
		if t.garbage[number] += n; t.garbage[number] >= enough {
			t.ripe = append(t.ripe, number)
			delete(t.garbage, number)
		}
	}
	t.ripe = append(t.ripe, tx.urgent...)
	if len(t.ripe) > 0 {
		t.wakeUp()
	}
}

func (t *trims) takeRipe() (rooms []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rooms, t.ripe = t.ripe, nil
	return rooms
}

func (t *trims) takeSweep() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	sweep := t.sweep
	t.sweep = false
	return sweep
}

// waste notes that messages of a room are not seen any more.
func (tx *transaction) waste(number uint64, n int) {
	if tx.garbage == nil {
		tx.garbage = make(map[uint64]int)
	}
	tx.garbage[number] += n
}

// trim removes what is not seen any more until the store is closed.
func (s *Store) trim() {
	t := &s.trims
	defer close(t.ended)
	if !s.file.checked {
		if err := s.checkRecords(t.ctx); err != nil {
			return // it was noted, and nothing can be trimmed
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.wake:
		case <-timer.C:
			if s.retention().limits.Age > 0 {
				t.sweepSoon()
			}
		case <-t.ctx.Done():
			return
		}
		err := s.trimRooms(t.takeRipe())
		if err == nil && t.takeSweep() {
			if err = s.sweep(); err != nil {
				t.mu.Lock()
				t.sweep = true
				t.mu.Unlock()
			}
		}
		if err == nil && s.nonces.over(s.now(), 1) != nil {
			err = s.submit(t.ctx, cost{}, func(*transaction) error { return nil })
		}
		timer.Reset(s.pause(err))
	}
}

// pause returns how long to wait for the next look at all rooms.
func (s *Store) pause(err error) time.Duration {
	age := s.retention().limits.Age
	switch {
	case err != nil:
		return 5 * time.Second
	case age > 0:
		return min(max(age/8, time.Second), time.Minute)
	default:
		return time.Minute
	}
}

// trimRooms trims rooms in as many steps as it takes.
func (s *Store) trimRooms(rooms []uint64) error {
	for len(rooms) > 0 {
		var left []uint64
		err := s.submitLast(s.trims.ctx, func(tx *transaction) (err error) {
			left, err = tx.trim(rooms)
			return err
		})
		if err != nil {
			s.trims.mu.Lock()
			s.trims.ripe = append(s.trims.ripe, rooms...)
			s.trims.mu.Unlock()
			return err
		}
		rooms = left
	}
	return nil
}

// trim removes a step's worth of messages, and returns the rooms that have
// more. It is the last that is done in a transaction, because bbolt's cursors
// do not walk back over pages that have become empty.
func (tx *transaction) trim(rooms []uint64) ([]uint64, error) {
	gone := tx.bolt.Bucket(droppedBucket)
	left := trimStep + 2*len(tx.stored)
	var keys, done [][]byte
	for len(rooms) > 0 && left > 0 {
		number := rooms[0]
		var some [][]byte
		var err error
		dropped := appendNumber(nil, number)
		if gone.Get(dropped) != nil {
			some = tx.all(number, left)
		} else if some, err = tx.unseen(number, left); err != nil {
			return nil, err
		} else {
			dropped = nil
		}
		keys = append(keys, some...)
		if len(some) == left {
			break // there may be more
		}
		if dropped != nil {
			done = append(done, dropped)
		}
		left -= len(some) + 1
		rooms = rooms[1:]
	}
	tx.work += len(keys) + len(done)
	for _, key := range keys {
		if err := tx.messages.Delete(key); err != nil {
			return nil, err
		}
	}
	for _, key := range done {
		if err := gone.Delete(key); err != nil {
			return nil, err
		}
	}
	return rooms, nil
}

// all returns the first keys of a dropped room, and of its record.
func (tx *transaction) all(number uint64, most int) (keys [][]byte) {
	prefix := appendNumber(nil, number)
	c := tx.messages.Cursor()
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix) && len(keys) < most; key, _ = c.Next() {
		keys = append(keys, key)
	}
	return keys
}

// unseen returns the first keys of messages of a room that are not seen any
// more. Those that are too old are lost from now on.
func (tx *transaction) unseen(number uint64, most int) (keys [][]byte, err error) {
	if tx.records[number] == nil && tx.messages.Get(stateKey(number)) == nil {
		return nil, nil // it was dropped, and all of it is gone
	}
	r, err := tx.record(number)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tx.settle(number, r), tx.shorten(number, r)); err != nil {
		return nil, err
	}
	v := &roomView{number: number, cursor: tx.messages.Cursor()}
	for v.after(store.ID{}); v.ok && len(keys) < most; v.next() {
		if v.id.After(r.lost) {
			if v.id.After(tx.cutoff) {
				return keys, nil
			}
			if r.count == 0 {
				return nil, errCount
			}
			r.lost, r.count, r.changed = v.id, r.count-1, true
		}
		keys = append(keys, v.key)
	}
	return keys, nil
}

// sweep looks at all rooms, and trims those that have more than they may.
func (s *Store) sweep() error {
	ctx := s.trims.ctx
	s.mu.Lock()
	settled := len(s.cuts)
	s.mu.Unlock()
	for after := []byte{}; after != nil; {
		var due []uint64
		err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
			kept, messages := s.retention(), tx.Bucket(messagesBucket)
			after, err = eachRoom(tx, after, func(_ []byte, number uint64) error {
				over, err := kept.over(messages, number)
				if over {
					due = append(due, number)
				}
				return err
			})
			return err
		})
		if err == nil {
			err = s.trimRooms(append(due, s.trims.takeRipe()...))
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(s.trimDropped(ctx), s.dropExcess(ctx)); err != nil {
		return err
	}
	s.mu.Lock()
	s.cuts = s.cuts[settled:]
	s.mu.Unlock()
	return nil
}

// over reports whether a room takes up space for what is not seen.
func (kept *retention) over(messages *bbolt.Bucket, number uint64) (bool, error) {
	r, err := getRoom(messages, stateKey(number))
	if err != nil {
		return false, err
	}
	if r.count > uint64(kept.limits.Count) {
		return true, nil
	}
	for _, c := range kept.cuts {
		if r.count > uint64(c.count) {
			return true, nil
		}
	}
	v := &roomView{number: number, cursor: messages.Cursor()}
	v.after(store.ID{})
	return v.ok && !v.id.After(store.Newest(r.lost, kept.cutoff)), nil
}

// trimDropped removes what an earlier process has left of dropped rooms.
func (s *Store) trimDropped(ctx context.Context) error {
	var rooms []uint64
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(droppedBucket).ForEach(func(key, value []byte) error {
			if _, err := unseal(key, value); err != nil {
				return err
			}
			if len(key) != roomLen {
				return errLength
			}
			rooms = append(rooms, decodeKey(key))
			return nil
		})
	})
	if err != nil {
		return err
	}
	return s.trimRooms(rooms)
}

// dropExcess drops rooms if the limit has become lower.
func (s *Store) dropExcess(ctx context.Context) error {
	for more := true; more; {
		err := s.submit(ctx, cost{records: dropStep * recordsPerDrop}, func(tx *transaction) (err error) {
			for n := 0; more && n < dropStep; n++ {
				if more = tx.log.rooms > uint64(max(0, tx.limits.Rooms)); more {
					if more, err = tx.dropIdle(); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRecords reads all records of a file that was too large to be checked
// before it was opened.
func (s *Store) checkRecords(ctx context.Context) error {
	const page = 1024
	for _, bucket := range allBuckets {
		for after := []byte{}; after != nil; {
			err := s.view(ctx, func(tx *bbolt.Tx) error {
				c := tx.Bucket(bucket).Cursor()
				key, value := c.Seek(after)
				after = nil
				for n := 0; key != nil; key, value = c.Next() {
					if n++; n > page {
						after = append([]byte{}, key...)
						return nil
					}
					if _, err := unseal(key, value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
