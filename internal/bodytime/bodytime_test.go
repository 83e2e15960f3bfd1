package bodytime

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// slowConn is what a body is read from; only its deadline is looked at.
type slowConn struct {
	http.ResponseWriter
	deadline time.Time
}

func (c *slowConn) SetReadDeadline(deadline time.Time) error {
	c.deadline = deadline
	return nil
}

func TestABodyHasATimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := registry{open: make(map[*http.ResponseController]struct{})}
		var early, late slowConn
		done := b.Begin(&early)
		if d := time.Until(early.deadline); d != Limit {
			t.Errorf("a body may take %s, want %s", d, Limit)
		}
		b.Begin(&late)()
		if !late.deadline.IsZero() {
			t.Error("a body that was read still has a limit")
		}
		b.End()
		if d := time.Until(early.deadline); d != exitBodyTime {
			t.Errorf("a body may take %s at an exit, want %s", d, exitBodyTime)
		}
		if !late.deadline.IsZero() {
			t.Error("an exit ends a body that was read before")
		}
		b.Begin(&late)
		if d := time.Until(late.deadline); d != exitBodyTime {
			t.Errorf("a body that begins during an exit may take %s, want %s", d, exitBodyTime)
		}
		done()
	})
}
