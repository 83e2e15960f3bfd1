package ssechat

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// bodyTime is how long a whole body may take.
	bodyTime = time.Minute
	// unreadTime is how long the server waits for the rest of a body that
	// nobody reads, before it answers.
	unreadTime = 2 * time.Second
	// exitBodyTime is how long an exit waits for a body.
	exitBodyTime = 2 * time.Second
)

var errSlowBody = fmt.Errorf("the body has not come within %s", bodyTime)

// bodies are the bodies that handlers are reading, also those of earlier
// configurations: an exit waits for them all. Its methods are safe for
// concurrent use.
type bodies struct {
	mu   sync.Mutex // guards all below
	open map[*http.ResponseController]struct{}
	exit bool
}

var openBodies = bodies{open: make(map[*http.ResponseController]struct{})}

// begin limits the time of a body that is about to be read. done must be called
// before the handler returns.
func (b *bodies) begin(w http.ResponseWriter) (done func()) {
	controller := http.NewResponseController(w)
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := bodyTime
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

// end has all bodies end soon, because the process exits.
func (b *bodies) end() {
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

// leaveUnread limits how long the server waits for a body that nobody reads.
func leaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime))
	}
}

// bodyError is the answer to a body that could not be read to its end.
func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return badRequest(fmt.Errorf("reading the body: %w", err))
	}
	if caddy.Exiting() {
		return retryAfter(http.StatusServiceUnavailable, storeRetryAfter, errors.New("the server stops; send the message again"))
	}
	return caddyhttp.Error(http.StatusRequestTimeout, errSlowBody)
}
