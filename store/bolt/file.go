package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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

var errNotRegular = errors.New("it is not a regular file")

// errGone is part of every error that means that what is written to the file
// would not be there after a restart.
var errGone = errors.New("the file is not where it was when it was opened")

// file is an open bbolt file. What bbolt would panic about is an error here.
type file struct {
	path string
	db   *bbolt.DB
	disk *os.File
	info fs.FileInfo
	// checked tells that all of its records were found to be whole.
	checked bool
	// exposed is the mode in which others could read or write the file, or 0;
	// exposedStill is why that cannot be changed, if it cannot.
	exposed      fs.FileMode
	exposedStill error
	// closing is closed when the file is about to be.
	closing chan struct{}
}

// openFile opens a file for a hub, or makes it. It does not wait for others
// that have it open.
func openFile(path, hub string) (*file, error) {
	inUse.mu.Lock()
	defer inUse.mu.Unlock()
	f := &file{path: path, closing: make(chan struct{})}
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
		err = errNotRegular
	}
	if err == nil {
		err = usedHere(path, info, hub)
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
	f.exposed, f.exposedStill = tighten(disk, info)
	return nil
}

// tighten keeps other users from a file that they could read or write: a backup
// that was put in its place, for example. It returns the mode that allowed it,
// or 0, and why it still does, if it does.
func tighten(disk *os.File, info fs.FileInfo) (exposed fs.FileMode, still error) {
	const others = 0o077
	mode := info.Mode().Perm()
	if mode&others == 0 || runtime.GOOS == "windows" { // which has no such mode
		return 0, nil
	}
	if err := disk.Chmod(mode &^ others); err != nil {
		return mode, err
	}
	if now, err := disk.Stat(); err != nil {
		return mode, err
	} else if now.Mode().Perm()&others != 0 {
		return mode, errors.New("the file system ignores it")
	}
	return mode, nil
}

// present returns an error if the file is not found any more where it was
// opened, so that the next start would not find it either.
func (f *file) present() error {
	info, err := os.Stat(f.path)
	switch {
	case err == nil && os.SameFile(info, f.info):
		return nil
	case err == nil:
		return fmt.Errorf("%w: another one is in its place", errGone)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: it was removed or renamed", errGone)
	default:
		return nil // that cannot be told now
	}
}

// usedHere returns an error if another hub of this process has the file open.
// info is nil if there is no such file.
func usedHere(path string, info fs.FileInfo, hub string) error {
	for f, other := range inUse.files {
		if f.path == path || os.SameFile(f.info, info) {
			return fmt.Errorf("it is the file of the hub %q, which is open; the hub %q needs another one (to rename a hub, stop Caddy and start it again, because until a reload is over both are open)", other, hub)
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
	close(f.closing) // bbolt waits for whoever reads
	if damaged {
		return f.disk.Close()
	}
	return f.db.Close()
}

// whenClosing calls do when the file is about to be closed, unless stop has been
// called.
func (f *file) whenClosing(do func()) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		select {
		case <-f.closing:
			do()
		case <-stopped:
		}
	}()
	return func() { close(stopped) }
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
	for _, damage := range []error{errDamaged, errGone, errChecksum, errLength, errCount, errKind, bolterrors.ErrInvalidMapping} {
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
