package bolt

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(Backups{})
}

// Backups is a part of the admin API: `GET /sse_chat/backups/<hub>` answers a
// copy of the file of a hub whose store is `bolt`, as it is at one moment and
// as small as it can be. Publishing goes on meanwhile, unless the file has to
// grow past a power of two. The copy is made beside the file before it is sent,
// so that needs room.
type Backups struct{}

// CaddyModule returns the Caddy module information.
func (Backups) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.sse_chat_backups",
		New: func() caddy.Module { return new(Backups) },
	}
}

const backupsPath = "/sse_chat/backups/"

// Routes implements [caddy.AdminRouter].
func (Backups) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: backupsPath, Handler: caddy.AdminHandlerFunc(serveBackup)}}
}

func serveBackup(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("method %s not allowed", r.Method)}
	}
	hub := strings.TrimPrefix(r.URL.Path, backupsPath)
	f := fileOf(hub)
	if f == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("no hub %q has a store bolt", hub)}
	}
	// not straight to the client: as long as it reads, no space could be freed
	path, err := f.copy()
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: fmt.Errorf("copying the file of the hub %q: %w", hub, err)}
	}
	defer os.Remove(path)
	backup, err := os.Open(path)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
	defer backup.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Now(), backup)
	return nil
}

// fileOf returns the file that a hub has open, or nil.
func fileOf(hub string) *file {
	inUse.mu.Lock()
	defer inUse.mu.Unlock()
	for f, name := range inUse.files {
		if name == hub {
			return f
		}
	}
	return nil
}

// copy makes a copy beside the file, without the space that is free in it.
func (f *file) copy() (path string, err error) {
	empty, err := os.CreateTemp(filepath.Dir(f.disk.Name()), filepath.Base(f.disk.Name())+".backup-*")
	if err != nil {
		return "", err
	}
	path = empty.Name()
	defer func() {
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if err := empty.Close(); err != nil {
		return "", err
	}
	// with no sync, because a copy that is cut short by a crash is no use
	to, err := bbolt.Open(path, fileMode, &bbolt.Options{NoSync: true, NoGrowSync: true, NoStatistics: true})
	if err != nil {
		return "", err
	}
	err = protect(func() error { return compact(to, f.db) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = errors.New("it was closed a moment ago")
	}
	return path, errors.Join(err, to.Close())
}

// maxCopyBytes is about how much one transaction copies.
const maxCopyBytes = 1 << 20

// compact copies all records into an empty file. [bbolt.Compact] ends its read
// transaction before it has written the last of what it has read, so that this
// may change or vanish on the way.
func compact(to, from *bbolt.DB) error {
	return from.View(func(read *bbolt.Tx) error {
		tx, err := to.Begin(true)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // of the last one, if it is not committed
		size := 0
		for _, name := range allBuckets {
			source := read.Bucket(name)
			b, err := tx.CreateBucket(name)
			if err != nil {
				return err
			}
			if err := b.SetSequence(source.Sequence()); err != nil {
				return err
			}
			c := source.Cursor()
			for key, value := c.First(); key != nil; key, value = c.Next() {
				if size > maxCopyBytes {
					if err := tx.Commit(); err != nil {
						return err
					}
					next, err := to.Begin(true)
					if err != nil {
						return err
					}
					tx, b, size = next, next.Bucket(name), 0
				}
				b.FillPercent = 1
				if err := b.Put(key, value); err != nil {
					return err
				}
				size += len(key) + len(value)
			}
		}
		return tx.Commit()
	})
}

// Interface guards
var _ caddy.AdminRouter = Backups{}
