// Package bodytime limits how long request bodies may take.
package bodytime

import (
	"net/http"
	"sync"
	"time"
)

const (
	// Limit is how long a whole body may take.
	Limit = time.Minute
	// unreadTime is how long the server waits for the rest of an unread body before
	// it answers.
	unreadTime = 2 * time.Second
	// exitBodyTime is how long an exit waits for a body.
	exitBodyTime = 2 * time.Second
)

// registry is the bodies that handlers are reading, including those of earlier
// configurations, because an exit waits for all of them. Its methods are safe for
// concurrent use.
type registry struct {
	mu   sync.Mutex // guards all below
	open map[*http.ResponseController]struct{}
	exit bool // the process exits
}

// InFlight is the bodies that are being read in this process.
var InFlight = registry{open: make(map[*http.ResponseController]struct{})}

// Begin limits the time for a body that is about to be read to [Limit], or less
// during an exit. done must be called before the handler returns.
func (b *registry) Begin(w http.ResponseWriter) (done func()) {
	controller := http.NewResponseController(w)
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := Limit
	if b.exit {
		limit = exitBodyTime
	}
	_ = controller.SetReadDeadline(time.Now().Add(limit))
	b.open[controller] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.open, controller)
		_ = controller.SetReadDeadline(time.Time{})
	}
}

// End limits the time that is left for all bodies, now and later, because the
// process exits.
func (b *registry) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.exit {
		return
	}
	b.exit = true
	for controller := range b.open {
		_ = controller.SetReadDeadline(time.Now().Add(exitBodyTime))
	}
}

// LeaveUnread limits how long the server waits for a request's body that the
// handler does not read.
func LeaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime))
	}
}
