package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"
)

// Rooms implements [store.Lister].
func (s *Store) Rooms(ctx context.Context) (map[string]int, error) {
	rooms := make(map[string]int)
	for after := []byte{}; after != nil; {
		kept := s.retention()
		page, err := viewUntil(ctx, s, func(tx *bbolt.Tx) (page roomPage, err error) {
			var names []string
			page.next, err = eachRoom(tx, after, func(name []byte, _ uint64) error {
				names = append(names, string(name))
				return nil
			})
			if err != nil {
				return page, err
			}
			views, _, err := views(tx, kept, names, false)
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
		after = page.next
	}
	return rooms, nil
}

// roomPage holds the numbers of messages of some rooms. Further rooms come after the
// name next, unless it is nil.
type roomPage struct {
	counts map[string]int
	next   []byte
}
