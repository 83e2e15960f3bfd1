package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
)

// fileMode keeps messages from other users of the machine.
const fileMode = 0o600

// errDamaged is part of every error that means that the file cannot be
// trusted any more.
var errDamaged = errors.New("the file is damaged")

// inUse holds the files that this process has open, and for which hub.
var inUse = struct {
	mu    sync.Mutex
	files map[*file]string
}{files: make(map[*file]string)}

// file is an open bbolt file. What bbolt would panic about is an error here.
type file struct {
	db   *bbolt.DB
	disk *os.File
	info fs.FileInfo
	// checked tells that all of its records were found to be whole.
	checked bool
}

// openFile opens a file for a hub, or makes it. It does not wait for others
// that have it open.
func openFile(path, hub string) (*file, error) {
	inUse.mu.Lock()
	defer inUse.mu.Unlock()
	f := new(file)
	err := protect(func() (err error) {
		f.db, err = bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout:      time.Millisecond, // the lock is taken by then, or never
			FreelistType: bbolt.FreelistMapType,
			NoStatistics: true,
			OpenFile: func(path string, flag int, mode fs.FileMode) (*os.File, error) {
				if err := f.open(path, hub, flag, mode); err != nil {
					return nil, err
				}
				return f.disk, nil
			},
		})
		return err
	})
	if err != nil {
		if f.disk != nil {
			_ = f.disk.Close() // bbolt has not, if it panicked
			if f.info.Size() == 0 {
				// a new file that is half made would be taken for a damaged one
				_ = os.Truncate(path, 0)
			}
		}
		if errors.Is(err, bolterrors.ErrTimeout) {
			err = errors.New("it is in use by another process")
		}
		return nil, err
	}
	inUse.files[f] = hub
	return f, nil
}

// open opens and locks the file, and looks for damage that bbolt would trip
// over.
func (f *file) open(path, hub string, flag int, mode fs.FileMode) error {
	disk, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return err
	}
	info, err := disk.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err == nil {
		err = usedHere(info, hub)
	}
	if err == nil {
		err = lock(disk)
	}
	if err == nil && info.Size() == 0 {
		// or a crash of the machine might leave no file at all
		f.checked, err = true, syncFolder(filepath.Dir(path))
	} else if err == nil {
		f.checked, err = check(disk, info.Size())
	}
	if err != nil {
		_ = disk.Close()
		return err
	}
	f.disk, f.info = disk, info
	return nil
}

// usedHere returns an error if another hub of this process has the file open.
func usedHere(info fs.FileInfo, hub string) error {
	for f, other := range inUse.files {
		if os.SameFile(f.info, info) {
			return fmt.Errorf("it is the file of the hub %q; the hub %q needs another one", other, hub)
		}
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	// not every system can
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// close closes the file. If it is damaged, bbolt may not be asked any more: it
// may still hold its own locks from when it panicked.
func (f *file) close(damaged bool) error {
	inUse.mu.Lock()
	delete(inUse.files, f)
	inUse.mu.Unlock()
	if damaged {
		return f.disk.Close()
	}
	return f.db.Close()
}

// panicError is what became of a panic. Whether the file is damaged or the
// program is wrong, nobody can tell from it, so its stack is kept for the log.
type panicError struct {
	reason any
	stack  []byte
}

func (e *panicError) Error() string {
	if fault, ok := e.reason.(interface{ Addr() uintptr }); ok {
		return fmt.Sprintf("the file's memory cannot be read at %#x: it was cut off, or its disk fails", fault.Addr())
	}
	return fmt.Sprintf("a panic while it was read or written, which damage in it may have caused: %v", e.reason)
}

// stackField is the stack of an error that was a panic, for the log.
func stackField(err error) zap.Field {
	if panicked, ok := errors.AsType[*panicError](err); ok {
		return zap.ByteString("stack", panicked.stack)
	}
	return zap.Skip()
}

// protect calls do. A panic of bbolt, or a fault in the memory that it has
// mapped the file to, becomes an error.
func protect(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason, debug.Stack()}
		}
	}()
	return do()
}

// spoils reports whether nothing that is written after an error can be
// trusted. After a failed sync the kernel may have dropped what was to be
// written, and a later sync would not say so.
func spoils(err error) bool {
	for _, damage := range []error{errDamaged, errChecksum, errLength, errCount, bolterrors.ErrInvalidMapping} {
		if errors.Is(err, damage) {
			return true
		}
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return true // bbolt may still hold its locks
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Op == "sync"
	}
	_, ok := errors.AsType[syscall.Errno](err) // of fdatasync or mmap
	return ok
}
