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
	open map[*body]struct{}
	exit bool // the process exits
}

// body is a body that is being read. It has a timer instead of a deadline, because
// few bodies reach it, and setting a deadline costs an HTTP/2 server a turn of its
// loop.
type body struct {
	controller *http.ResponseController
	timer      *time.Timer
	expired    bool // its connection has a deadline
}

// InFlight is the bodies that are being read in this process.
var InFlight = registry{open: make(map[*body]struct{})}

// Begin limits the time for a body that is about to be read to [Limit], or less
// during an exit. done must be called before the handler returns.
func (r *registry) Begin(w http.ResponseWriter) (done func()) {
	b := &body{controller: http.NewResponseController(w)}
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := Limit
	if r.exit {
		limit = exitBodyTime
	}
	b.timer = time.AfterFunc(limit, func() { r.expire(b) })
	r.open[b] = struct{}{}
	return func() {
		b.timer.Stop()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, b)
		if b.expired {
			_ = b.controller.SetReadDeadline(time.Time{})
		}
	}
}

// expire fails the read of a body, unless that has ended.
func (r *registry) expire(b *body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, reading := r.open[b]; reading {
		b.expired = true
		_ = b.controller.SetReadDeadline(time.Unix(1, 0))
	}
}

// End limits the time that is left for all bodies, now and later, because the
// process exits.
func (r *registry) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit {
		return
	}
	r.exit = true
	for b := range r.open {
		b.timer.Reset(exitBodyTime)
	}
}

// LeaveUnread limits how long the server waits for a request's body that the
// handler does not read.
func LeaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime))
	}
}
