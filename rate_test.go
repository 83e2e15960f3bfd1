package ssechat

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// What clients have used of their limits outlives a reload that does not change
// the limits; also what parked streams take, and those that began without one.
func TestLimitsOutliveAReload(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat {\nrate 2 1h\nmax_subscribers 10 2\n}", "sse_chat {\nrate 2 1h\n}", "sse_chat {\nrate 3 1h\n}", "sse_chat {\nrate 2 1h\nhub other\n}")
	post := func(site, status int) {
		t.Helper()
		if a := s.Sites[site].Do(t, http.MethodPost, "/update", `{"text":"x"}`); a.Status != status {
			t.Errorf("a message to site %d: %d %s, want %d", site, a.Status, a.Body, status)
		}
	}
	post(0, http.StatusOK)
	post(1, http.StatusOK)
	post(0, http.StatusTooManyRequests)
	post(1, http.StatusTooManyRequests) // one hub, one rate: one budget
	for range 3 {
		post(2, http.StatusOK) // another rate has its own
	}
	post(2, http.StatusTooManyRequests)
	post(3, http.StatusOK) // and so has another hub
	for range 2 {
		if _, ok := s.Sites[1].IsServed(t); !ok {
			t.Fatal("a stream of a site without a limit is refused")
		}
	}
	waitParked(t, hubOf(t, "default"), 2)

	s.Load(t, "sse_chat {\nrate 2 1h\nmax_subscribers 10 2\nheartbeat 1m\n}", "sse_chat", "sse_chat {\nrate 3 1h\nretry 1s\n}")
	post(0, http.StatusTooManyRequests)
	post(2, http.StatusTooManyRequests)
	if _, ok := s.Sites[0].IsServed(t); ok {
		t.Error("a third stream of the client is served after a reload")
	}
	if n, used := limiters.References(limiterKey{"default", Rate{2, caddy.Duration(time.Hour)}}); n != 1 || !used {
		t.Errorf("the rate is used %d times, want once", n)
	}

	// a configuration that is rejected changes nothing
	if err := caddytest.LoadCaddyfile(t, "{"+s.Head+"}\n"+fmt.Sprintf("http://%s {\nsse_chat {\nrate 9 1h\n}\n}\nhttp://%s {\nsse_chat {\nstore bolt /\n}\n}\n", s.Sites[0].Addr, s.Sites[1].Addr)); err == nil {
		t.Fatal("two stores of one hub are taken")
	}
	post(0, http.StatusTooManyRequests)
	if _, used := limiters.References(limiterKey{"default", Rate{9, caddy.Duration(time.Hour)}}); used {
		t.Error("the rate of the configuration that was rejected is still known")
	}

	s.Load(t, "sse_chat {\nrate 1 1h\n}")
	post(0, http.StatusOK)
	post(0, http.StatusTooManyRequests)
	s.Load(t, "sse_chat {\nrate 2 1h\n}") // which nobody had meanwhile
	post(0, http.StatusOK)
}
