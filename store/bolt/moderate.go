package bolt

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
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
	return s.submit(ctx, cost{records: 1 + buryStep}, func(tx *transaction) error {
		if err := tx.buryIn(name, append(s.nonces.in(name, buried), tx.keptIn(name)...)); err != nil {
			return err
		}
		number, ok, err := numberOf(tx.rooms, name)
		if err != nil || !ok {
			return err
		}
		r, err := tx.record(number)
		if err != nil {
			return err
		}
		r.lost, r.count, r.changed = tx.newestIn(number, r.lost), 0, true
		tx.urgent = append(tx.urgent, number)
		through := r.lost
		tx.notify = append(tx.notify, func() { s.hub.Forgotten(name, through) })
		return nil
	})
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, id store.ID) error {
	name, err := s.roomOf(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.submitLast(ctx, func(tx *transaction) error {
		room, err := tx.bury(id)
		if err != nil {
			return err
		}
		removed, err := tx.remove(name, id)
		if err != nil {
			return err
		}
		if removed {
			room = name
		} else if room == "" {
			return store.ErrNotFound
		}
		tx.notify = append(tx.notify, func() { s.hub.Deleted(room, id) })
		return nil
	})
}

// remove removes a message from a room, and reports whether readers could see it.
// It also removes a message that retention has only hidden so far.
func (tx *transaction) remove(name string, id store.ID) (bool, error) {
	number, ok, err := numberOf(tx.rooms, name)
	if err != nil {
		return false, err
	}
	key := messageKey(number, id)
	if !ok || tx.messages.Get(key) == nil {
		return false, nil
	}
	r, err := tx.record(number)
	if err != nil {
		return false, err
	}
	if err := tx.settle(number, r); err != nil {
		return false, err
	}
	if id.After(r.lost) {
		r.count--
		r.changed = true
	}
	tx.work++
	return id.After(r.lost) && id.After(tx.cutoff), tx.messages.Delete(key)
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
