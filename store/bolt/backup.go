package bolt

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(Backups{})
}

// Backups is a part of the admin API: `GET /sse_chat/backups/<hub>` returns a
// compact copy of the file of a hub whose store is `bolt`, as of one moment.
// Publishing continues meanwhile, unless the file has to grow past a power of
// two. The copy is made in the file's folder before it is sent, which needs disk
// space. It has no name, so nothing is left of it after a crash.
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
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("no hub %q has the store bolt", hub)}
	}
	// not directly to the client: while the copy is read from the store's file,
	// no space in that file can be freed
	backup, err := f.copy(r.Context())
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: fmt.Errorf("copying the file of the hub %q: %w", hub, err)}
	}
	defer backup.close()
	defer f.whenClosing(func() {
		// or an exit would wait for a slow client
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now())
	})()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Now(), backup)
	return nil
}

// fileOf returns the open file of a hub, or nil.
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

// Interface guards
var _ caddy.AdminRouter = Backups{}
