package ssechat

import (
	"net/http"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/fragile"
)

// When all readers have to ask the store at once, those who ask the same share
// one read, and those who fail come back at different times.
func TestAllReadersAskTheStoreAtOnce(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			s := caddytest.Serve(t, "store fragile\npark "+park)
			b := hubOf(t, "default")
			m := s.Post(t, "/update", "x")
			const n = 200
			var readers []*chattest.Stream
			for range n {
				readers = append(readers, s.Stream(t, "/subscribe", "Last-Event-ID: "+m.ID))
			}
			m = s.Post(t, "/update", "all read live")
			for _, c := range readers {
				if got := c.Next(t).Message(t); got != m {
					t.Fatalf("got %+v, want %+v", got, m)
				}
			}
			if park == "on" {
				waitParked(t, b, n)
			}
			fragile.Reads.Store(0)
			b.Missed(b.State().Latest, true)
			for _, c := range readers {
				if e := c.Next(t); e.Name != "gap" {
					t.Fatalf("got %+v, want a gap", e)
				}
			}
			if reads := fragile.Reads.Load(); reads > n/10 {
				t.Errorf("%d readers read %d times", n, reads)
			}
			m = s.Post(t, "/update", "y")
			for _, c := range readers {
				if got := c.Next(t).Message(t); got != m {
					t.Fatalf("got %+v, want %+v", got, m)
				}
			}
		})
	}
}

// A store that hangs holds up no request, and a stream tries again.
func TestAStoreThatHangsHoldsUpNoReader(t *testing.T) {
	s := caddytest.Serve(t, "store fragile")
	b := hubOf(t, "default")
	parked := s.Stream(t, "/subscribe")
	waitParked(t, b, 1)
	m := s.Post(t, "/update", "x")
	parked.Next(t)
	fragile.GivenUp.Store(0)
	fragile.Hangs.Store(true)
	defer fragile.Hangs.Store(false)
	b.Missed(b.State().Latest, false) // so that it has to ask the store
	fresh := s.Stream(t, "/subscribe?last=1")
	a := s.Do(t, http.MethodGet, "/history", "")
	if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("/history: %d %s", a.Status, a.Body)
	}
	chattest.Eventually(t, "all three reads are given up", func() bool { return fragile.GivenUp.Load() >= 3 })
	fragile.Hangs.Store(false)
	if got := fresh.Next(t).Message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	if e := parked.Next(t); e.Name != "gap" {
		t.Errorf("got %+v, want a gap", e)
	}
}
