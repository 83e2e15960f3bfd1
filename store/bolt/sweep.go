package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// sweep trims all rooms that need it, drops rooms beyond the limit, and ends the
// cuts that were in force when it began.
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

// over reports whether a room has hidden messages or outdated revisions that use space.
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
	hidden := store.Newest(r.lost, kept.cutoff)
	v := &roomView{number: number, cursor: messages.Cursor()}
	v.after(store.ID{})
	over := v.ok && !v.id.After(hidden)
	err = eachRevision(messages, number, store.ID{}, func(_ []byte, oldest revisions.Revision) bool {
		over = over || outdated(oldest, hidden)
		return false
	})
	return over, err
}

// trimDropped removes the messages of dropped rooms that an earlier process has
// left.
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

// dropExcess drops rooms if there are too many, because the limit was lowered.
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

// checkRecords reads all records of a file that was too large for check.
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
