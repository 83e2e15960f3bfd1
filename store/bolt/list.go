package bolt

import (
	"context"

	"go.etcd.io/bbolt"
)

// roomsAtATime is how many rooms are looked at in one transaction.
const roomsAtATime = 256

// Rooms implements [store.Lister].
func (s *Store) Rooms(ctx context.Context) (map[string]int, error) {
	rooms := make(map[string]int)
	last, more := []byte(nil), true
	for more {
		kept := s.retention()
		err := s.view(ctx, func(tx *bbolt.Tx) error {
			names := namesAfter(tx.Bucket(roomsBucket), last, roomsAtATime)
			if more = len(names) == roomsAtATime; more {
				last = []byte(names[len(names)-1])
			}
			views, _, err := views(tx, kept, names)
			for _, v := range views {
				if n := v.len(); n > 0 {
					rooms[v.name] = n
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return rooms, nil
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

// len returns how many messages are seen.
func (v *roomView) len() int {
	if v.whole {
		return int(v.count) //nolint:gosec // it counts messages
	}
	n := 0
	for v.after(v.floor); v.ok; v.next() {
		n++
	}
	return n
}
