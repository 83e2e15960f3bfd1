package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"
)

// roomsAtATime is how many rooms are counted in one transaction.
const roomsAtATime = 256

// Rooms implements [store.Lister].
func (s *Store) Rooms(ctx context.Context) (map[string]int, error) {
	rooms := make(map[string]int)
	for last := ""; ; {
		kept := s.retention()
		page, err := viewUntil(ctx, s, func(tx *bbolt.Tx) (page roomPage, err error) {
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

// roomPage holds the numbers of messages of some rooms. Further rooms come after
// the name next, unless it is "".
type roomPage struct {
	counts map[string]int
	next   string
}

// namesAfter returns the next names after last, at most n.
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
