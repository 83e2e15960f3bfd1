package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"
)

// roomsAtATime is how many rooms are looked at in one transaction.
const roomsAtATime = 256

// Rooms implements [store.Lister].
func (s *Store) Rooms(ctx context.Context) (map[string]int, error) {
	rooms := make(map[string]int)
	for last := ""; ; {
		kept := s.retention()
		page, err := look(ctx, s, func(tx *bbolt.Tx) (page roomPage, err error) {
			names := namesAfter(tx.Bucket(roomsBucket), []byte(last), roomsAtATime)
			if len(names) == roomsAtATime {
				page.next = names[len(names)-1]
			}
			views, _, err := views(tx, kept, names)
			page.counts = make(map[string]int, len(views))
			for _, v := range views {
				page.counts[v.name] = v.len(ctx)
			}
			return page, errors.Join(err, ctx.Err())
		})
		if err != nil {
			return nil, err
		}
		for name, n := range page.counts {
			if n > 0 {
				rooms[name] = n
			}
		}
		if last = page.next; last == "" {
			return rooms, nil
		}
	}
}

// roomPage is how many messages some rooms have, and the name after which others
// come, or "".
type roomPage struct {
	counts map[string]int
	next   string
}

// namesAfter returns the next names behind one, at most n.
func namesAfter(rooms *bbolt.Bucket, last []byte, n int) (names []string) {
	cursor := rooms.Cursor()
	key, _ := cursor.Seek(last)
	if key != nil && string(key) == string(last) {
		key, _ = cursor.Next()
	}
	for ; key != nil && len(names) < n; key, _ = cursor.Next() {
		names = append(names, string(key))
	}
	return names
}

// len returns how many messages are seen, or anything once ctx has ended.
func (v *roomView) len(ctx context.Context) int {
	if v.whole {
		return int(v.count) //nolint:gosec // it counts messages
	}
	n := 0
	for v.after(v.floor); v.ok && ctx.Err() == nil; v.next() {
		n++
	}
	return n
}
