package bolt

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// cursorKey is the key in logBucket of a cursor. The value is an id. A bucket of its own would change the file format; older versions ignore this key.
func cursorKey(name string) []byte { return []byte("cursor " + name) }

// cursor is a [store.Cursor]. Only this process can have it, because it has the file.
type cursor struct {
	store *Store
	key   []byte
	at    store.ID
}

// OpenCursor implements [store.Cursors].
func (s *Store) OpenCursor(ctx context.Context, name string) (store.Cursor, error) {
	c := &cursor{store: s, key: cursorKey(name)}
	at, found, err := s.savedCursor(ctx, c.key)
	if err != nil {
		return nil, err
	}
	if !found {
		at = *s.latest.Load()
		if err := c.Save(ctx, at); err != nil {
			return nil, err
		}
	}
	c.at = at
	return c, nil
}

// savedCursor returns the place of a cursor, and whether there is one.
func (s *Store) savedCursor(ctx context.Context, key []byte) (at store.ID, found bool, err error) {
	type result struct {
		at    store.ID
		found bool
	}
	saved, err := viewUntil(ctx, s, func(tx *bbolt.Tx) (r result, err error) {
		value := tx.Bucket(logBucket).Get(key)
		if value == nil {
			return r, nil
		}
		payload, err := unseal(key, value)
		if err == nil && len(payload) != idLen {
			err = errLength
		}
		if err != nil {
			return r, err
		}
		return result{decodeID(payload), true}, nil
	})
	return saved.at, saved.found, err
}

// DropCursor implements [store.Cursors].
func (s *Store) DropCursor(ctx context.Context, name string) error {
	key := cursorKey(name)
	if _, found, err := s.savedCursor(ctx, key); err != nil || !found {
		return err
	}
	return s.submit(ctx, cost{records: 1}, func(tx *transaction) error {
		return tx.bolt.Bucket(logBucket).Delete(key)
	})
}

// At implements [store.Cursor].
func (c *cursor) At() store.ID { return c.at }

// Save implements [store.Cursor].
func (c *cursor) Save(ctx context.Context, id store.ID) error {
	return c.store.submit(ctx, cost{records: 1}, func(tx *transaction) error {
		return tx.bolt.Bucket(logBucket).Put(c.key, seal(c.key, appendID(nil, id)))
	})
}

// Lost implements [store.Cursor].
func (*cursor) Lost() <-chan struct{} { return nil }

// Close implements [store.Cursor].
func (*cursor) Close(context.Context) error { return nil }
