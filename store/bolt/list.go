package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
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

// Since implements [store.RoomFinder].
func (s *Store) Since(ctx context.Context, id store.ID) (rooms []string, lost store.ID, err error) {
	type page struct {
		names []string
		lost  store.ID
		next  []byte
	}
	for after := []byte{}; after != nil; {
		kept := s.retention()
		p, err := viewUntil(ctx, s, func(bolt *bbolt.Tx) (p page, err error) {
			tx, err := s.reading(bolt, kept)
			if err != nil {
				return p, err
			}
			p.lost = store.Newest(tx.log.lost, tx.log.unknown)
			p.next, err = eachRoom(bolt, after, func(name []byte, number uint64) error {
				r, err := tx.record(number)
				if err != nil {
					return err
				}
				end := tx.newestIn(number, r)
				for _, newest := range []store.ID{end.message, end.revision, r.lost, r.unknown} {
					if newest.After(id) {
						p.names = append(p.names, string(name))
						break
					}
				}
				return nil
			})
			return p, errors.Join(err, ctx.Err())
		})
		if err != nil {
			return nil, store.ID{}, err
		}
		rooms, lost, after = append(rooms, p.names...), p.lost, p.next
	}
	return rooms, lost, nil
}
