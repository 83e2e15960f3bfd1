package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// fileMode gives access to the owner only.
const fileMode = 0o600

// inUse holds the files that this process has open, and the hub of each.
var inUse = struct {
	mu    sync.Mutex
	files map[*file]string
}{files: make(map[*file]string)}

var errNotRegular = errors.New("it is not a regular file")

// file is an open bbolt file.
type file struct {
	path string
	db   *bbolt.DB
	disk *os.File
	info fs.FileInfo
	// checked is set if check has read all records.
	checked bool
	readers readers
	// exposed is the mode that gave other users access to the file, or 0.
	// exposedStill is the error if that mode could not be changed.
	exposed      fs.FileMode
	exposedStill error
	// closing is closed when the file is about to be.
	closing chan struct{}
}

// openFile opens a file for a hub, and creates it if it does not exist. It returns
// an error at once if another hub or process has the file open.
func openFile(path, hub string) (*file, error) {
	inUse.mu.Lock()
	defer inUse.mu.Unlock()
	f := &file{path: path, closing: make(chan struct{})}
	err := protect(func() (err error) {
		f.db, err = bbolt.Open(path, fileMode, &bbolt.Options{
			Timeout:      time.Millisecond, // open has taken the lock already, where it can
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
				// the next start would take a half-written new file for a damaged one
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

// open opens and locks the file, and checks it before bbolt reads it.
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

// tighten removes other users' access to the file, which a restored backup may
// have given them. It returns the mode that gave access, or 0, and an error if the
// mode could not be changed.
func tighten(disk *os.File, info fs.FileInfo) (exposed fs.FileMode, still error) {
	const others = 0o077
	mode := info.Mode().Perm()
	if mode&others == 0 || runtime.GOOS == "windows" { // Windows has no such modes
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

// present returns an error if the file is no longer at its path, so that the next
// start would not find it.
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
		return nil // it is unknown, for example if the folder cannot be read
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
	// not every system can sync a folder
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// close closes the file. A damaged one is closed without bbolt, which may still
// hold its own locks after a panic.
func (f *file) close(damaged bool) error {
	inUse.mu.Lock()
	delete(inUse.files, f)
	inUse.mu.Unlock()
	close(f.closing) // first, because bbolt waits for readers
	if damaged {
		return f.disk.Close()
	}
	return f.db.Close()
}

// whenClosing calls do when the file is about to be closed, unless stop was called
// before.
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
