package bolt

import (
	"context"

	"go.etcd.io/bbolt"
)

// view calls read in a transaction. What read finds in the transaction is not
// valid afterwards.
func (s *Store) view(ctx context.Context, read func(*bbolt.Tx) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.read(read)
}

// viewUntil is view, but returns when ctx ends even if read has not returned:
// while the file grows, bbolt lets new readers wait for older ones. read must not
// write to variables of its caller, because it may run on after that.
func viewUntil[T any](ctx context.Context, s *Store, read func(*bbolt.Tx) (T, error)) (found T, err error) {
	type result struct {
		found T
		err   error
	}
	if err := s.usable(); err != nil {
		return found, err
	}
	if err := ctx.Err(); err != nil {
		return found, err
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = s.read(func(tx *bbolt.Tx) (err error) {
			r.found, err = read(tx)
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return found, r.err
		}
		return r.found, nil
	case <-ctx.Done():
		return found, ctx.Err()
	}
}

// read is view without a check whether the store is in service.
func (s *Store) read(read func(*bbolt.Tx) error) error {
	if err := protect(func() error { return s.file.view(read) }); err != nil {
		return s.failed(err)
	}
	return nil
}
