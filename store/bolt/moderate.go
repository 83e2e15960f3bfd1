package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// buryStep is how many messages of nonces one transaction removes.
const buryStep = 1024

// Forget implements [store.Store].
func (s *Store) Forget(ctx context.Context, name string) error {
	select {
	case <-s.nonces.loaded:
	case <-ctx.Done():
		return ctx.Err()
	}
	// remove most of them first, in small steps, so that publishers do not wait
	// until all are removed
	var buried store.ID
	for ids := s.nonces.in(name, buried); len(ids) > buryStep; ids = ids[buryStep:] {
		if err := s.submit(ctx, cost{records: buryStep}, func(tx *transaction) error { return tx.buryIn(name, ids[:buryStep]) }); err != nil {
			return err
		}
		buried = ids[buryStep-1]
	}
	return s.submit(ctx, cost{records: 2 + buryStep}, func(tx *transaction) error {
		if err := tx.buryIn(name, append(s.nonces.in(name, buried), tx.keptIn(name)...)); err != nil {
			return err
		}
		return tx.forget(name)
	})
}

// forget hides all messages of a room. They are removed soon after that.
func (tx *transaction) forget(name string) error {
	number, ok, err := numberOf(tx.rooms, name)
	if err != nil || !ok {
		return err
	}
	r, err := tx.removing(number)
	if err != nil {
		return err
	}
	tx.urgent = append(tx.urgent, number)
	tx.erase, r.erase, r.changed = true, true, true
	if r.count == 0 {
		return nil
	}
	r.lost, r.count = store.Newest(r.lost, r.newest.message), 0
	at, through := tx.store.clock.Next(tx.now.UnixMilli()), r.lost
	tx.notify(func() { tx.store.hub.Forgotten(name, through, at) })
	return tx.revise(number, r, store.ID{}, revisions.Revision{At: at, ID: through, Kind: revisions.Forgotten})
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, id store.ID) error {
	name, err := s.roomOf(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.submit(ctx, cost{records: recordsPerChange}, func(tx *transaction) error {
		found, err := tx.find(name, id)
		if err != nil {
			return err
		}
		if !found.visible {
			kept, ok, err := tx.keptMessage(id)
			if err != nil {
				return err
			}
			if !ok {
				return tx.removeHidden(found)
			}
			name = kept.room
		}
		_, err = tx.delete(name, found)
		return err
	})
}

// removeHidden removes a message that retention has only hidden so far. It returns
// [store.ErrNotFound], because readers could not see it.
func (tx *transaction) removeHidden(m foundMessage) error {
	if !m.stored {
		return store.ErrNotFound
	}
	tx.erase = true
	if err := tx.remove(m, store.ID{}); err != nil {
		return err
	}
	return store.ErrNotFound
}

// roomOf returns the room of a message. It searches all rooms, because deletes are
// rare.
func (s *Store) roomOf(ctx context.Context, id store.ID) (string, error) {
	type page struct {
		name  string
		after []byte
	}
	for after := []byte{}; after != nil; {
		found, err := viewUntil(ctx, s, func(tx *bbolt.Tx) (p page, err error) {
			messages := tx.Bucket(messagesBucket)
			p.after, err = eachRoom(tx, after, func(room []byte, number uint64) error {
				if messages.Get(messageKey(number, id)) != nil {
					p.name = string(room)
				}
				return nil
			})
			return p, err
		})
		if err != nil || found.name != "" {
			return found.name, err
		}
		after = found.after
	}
	return "", store.ErrNotFound
}
