package bolt

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// trimStep is how many messages one transaction removes, in addition to twice as
// many as it stores.
const trimStep = 256

// trims keeps track of the rooms whose hidden messages use space. These are removed
// in small steps. Each is a change like any other and shares its transaction, so
// publishers do not wait for an additional sync.
type trims struct {
	ctx    context.Context // ends when the store is closed
	cancel context.CancelFunc
	wake   chan struct{}
	ended  chan struct{} // closed when trim has ended

	mu      sync.Mutex     // guards all below
	garbage map[uint64]int // numbers of hidden messages, by room
	ripe    []uint64       // rooms to trim now
	sweep   bool           // a sweep is due
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
	wake.Up(t.wake)
}

// commit applies what a committed transaction has changed.
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
		wake.Up(t.wake)
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

// waste records that n messages of a room have been hidden.
func (tx *transaction) waste(number uint64, n int) {
	if tx.garbage == nil {
		tx.garbage = make(map[uint64]int)
	}
	tx.garbage[number] += n
}

// trim removes hidden messages and expired nonces until the store is closed.
func (s *Store) trim() {
	t := &s.trims
	defer close(t.ended)
	if !s.file.checked {
		if err := s.checkRecords(t.ctx); err != nil {
			return // view has taken the store out of service
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
		if err == nil {
			err = s.eraseLater()
		}
		timer.Reset(s.pause(err))
	}
}

// pause returns how long to wait until the next sweep, retry or transaction for the eraser.
func (s *Store) pause(err error) time.Duration {
	if err != nil {
		return 5 * time.Second
	}
	pause := time.Minute
	if age := s.retention().limits.Age; age > 0 {
		pause = min(max(age/8, time.Second), pause)
	}
	if wait, waits := s.eraser.wait(); waits {
		pause = min(max(wait, 0), pause)
	}
	return pause
}

// trimRooms trims rooms, in as many steps as necessary.
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

// trim removes one step's worth of messages, and returns the rooms that have more.
// It must be the last change of its transaction, because bbolt's cursors do not
// move back over pages that have become empty.
func (tx *transaction) trim(rooms []uint64) ([]uint64, error) {
	gone := tx.bolt.Bucket(droppedBucket)
	left := trimStep + 2*len(tx.stored)
	var keys, done [][]byte
	for len(rooms) > 0 && left > 0 {
		number := rooms[0]
		var some [][]byte
		var err error
		dropped := appendNumber(nil, number)
		if record := gone.Get(dropped); record != nil {
			some = tx.all(number, left)
			tx.erase = tx.erase || len(record) > sumLen
		} else if some, err = tx.unseen(number, left); err != nil {
			return nil, err
		} else {
			dropped = nil
		}
		keys = append(keys, some...)
		if len(some) >= left {
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

// all returns the first keys of a dropped room, including that of its record.
func (tx *transaction) all(number uint64, most int) (keys [][]byte) {
	prefix := appendNumber(nil, number)
	c := tx.messages.Cursor()
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix) && len(keys) < most; key, _ = c.Next() {
		keys = append(keys, key)
	}
	return keys
}

// unseen returns the keys of a room's oldest messages that are hidden, with their
// revisions, and then of other revisions that are outdated, at most one more than most. It
// raises the room's lost to include messages that are too old.
func (tx *transaction) unseen(number uint64, most int) (keys [][]byte, err error) {
	if tx.records[number] == nil && tx.messages.Get(stateKey(number)) == nil {
		return nil, nil // the room was dropped and removed
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
				break
			}
			if r.count == 0 {
				return nil, errCount
			}
			r.lost, r.count, r.changed = v.id, r.count-1, true
		}
		keys = append(keys, v.key)
		post, err := getPost(v.key, v.value)
		if err != nil {
			return nil, err
		}
		if !post.Revision.IsZero() {
			keys = append(keys, revisionKey(number, post.Revision))
		}
	}
	others, err := tx.outdatedIn(number, r, max(0, most-len(keys)))
	if err != nil {
		return nil, err
	}
	keys = append(keys, others...)
	if r.erase {
		tx.erase = true
		if len(keys) < most {
			r.erase, r.changed = false, true
		}
	}
	return keys, nil
}
