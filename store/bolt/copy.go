package bolt

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
)

// copySuffix follows the file's name in the name of a copy; digits follow it.
const copySuffix = ".backup-"

// copyStep is how many bytes are copied in one transaction.
const copyStep = 1 << 20

// nameless is an open file without a name: it is gone when it is closed or the
// process ends. On systems that do not remove open files, it has a name until it
// is closed.
type nameless struct {
	*os.File
	name string // empty if it has none
}

func (n *nameless) close() {
	_ = n.Close()
	if n.name != "" {
		_ = os.Remove(n.name)
	}
}

// copy makes a compact copy in the folder of the file. The caller must close it.
func (f *file) copy(ctx context.Context) (*nameless, error) {
	disk, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+copySuffix+"*")
	if err != nil {
		return nil, err
	}
	copied := &nameless{disk, disk.Name()}
	if err := f.copyTo(ctx, copied); err != nil {
		copied.close()
		return nil, err
	}
	return copied, nil
}

func (f *file) copyTo(ctx context.Context, copied *nameless) error {
	// without a sync, because nobody uses a copy after a crash
	to, err := bbolt.Open(copied.name, fileMode, &bbolt.Options{
		NoSync: true, NoGrowSync: true, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			disk, err := os.OpenFile(name, flag, mode)
			if err == nil && os.Remove(name) == nil {
				copied.name = ""
			}
			return disk, err
		},
	})
	if err != nil {
		return err
	}
	err = protect(func() error {
		return f.view(func(from *bbolt.Tx) error {
			for _, name := range allBuckets {
				if err := f.copyBucket(ctx, name, from.Bucket(name), to); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = errClosing
	}
	return errors.Join(err, to.Close())
}

var errClosing = errors.New("the hub is being closed")

// copyBucket copies the contents of a bucket. It stops with an error when ctx ends
// or the file is about to be closed.
func (f *file) copyBucket(ctx context.Context, name []byte, from *bbolt.Bucket, to *bbolt.DB) error {
	c := from.Cursor()
	key, value := c.First()
	for begin := true; begin || key != nil; begin = false {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.closing:
			return errClosing
		default:
		}
		err := to.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			b.FillPercent = 0.9
			if err := b.SetSequence(from.Sequence()); err != nil {
				return err
			}
			for size := 0; key != nil && size < copyStep; key, value = c.Next() {
				if err := b.Put(key, value); err != nil {
					return err
				}
				size += len(key) + len(value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeCopies removes leftover copies of the file: a crash may leave an empty
// one, and earlier versions left complete ones. Nobody else can make copies while
// this process has the file locked.
func (s *Store) removeCopies() {
	folder, prefix := filepath.Dir(s.path), filepath.Base(s.path)+copySuffix
	entries, err := os.ReadDir(folder)
	if err != nil {
		return // permission to list the folder is not required
	}
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), prefix)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || !entry.Type().IsRegular() {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		if err := os.Remove(path); err != nil {
			s.logger.Warn("cannot remove what is left of a backup", zap.String("file", path), zap.Error(err))
			continue
		}
		s.logger.Info("removed what was left of a backup", zap.String("file", path))
	}
}
