package bodytime

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowConn is what a body is read from; only its deadline is looked at.
type slowConn struct {
	http.ResponseWriter
	mu        sync.Mutex // guards deadlines
	deadlines []time.Time
}

func (c *slowConn) SetReadDeadline(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines = append(c.deadlines, deadline)
	return nil
}

// failed reports whether a read of the body has been made to fail.
func (c *slowConn) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.deadlines) > 0 && !c.deadlines[len(c.deadlines)-1].IsZero()
}

func TestABodyHasATimeLimit(t *testing.T) {
	const moment = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		r := registry{open: make(map[*body]struct{})}
		expect := func(what string, c *slowConn, after time.Duration) {
			t.Helper()
			time.Sleep(after - moment)
			if synctest.Wait(); c.failed() {
				t.Errorf("%s ends before %s", what, after)
			}
			time.Sleep(moment)
			if synctest.Wait(); !c.failed() {
				t.Errorf("%s does not end after %s", what, after)
			}
		}
		var slow, quick, early, late slowConn
		done := r.Begin(&slow)
		r.Begin(&quick)()
		expect("a slow body", &slow, Limit)
		if done(); slow.failed() {
			t.Error("the connection keeps the deadline")
		}
		done = r.Begin(&early)
		time.Sleep(moment)
		r.End()
		expect("a body at an exit", &early, exitBodyTime)
		done()
		done = r.Begin(&late)
		expect("a body that begins during an exit", &late, exitBodyTime)
		done()
		if quick.deadlines != nil {
			t.Errorf("a body that was read had the deadlines %v", quick.deadlines)
		}
	})
}
