package ssechat

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// A stream is one line in the access log, when it ends; and each line tells of
// which room it is.
func TestAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	s := caddytest.ServeSite(t, fmt.Sprintf("log {\noutput file %s\nlevel INFO\n}\nsse_chat {\nmax_subscribers 1\n}", file))
	c := s.Stream(t, "/subscribe?room=a&room=차")
	sent := len(c.Until(t, "retry: 10000\n"))
	waitParked(t, hubOf(t, "default"), 1)
	for range 3 {
		s.Post(t, "/update?room=a", "x")
		sent += len(c.Until(t, "\n\n")) + len("5f\r\n\r\n") // as a chunk
	}
	s.Do(t, http.MethodGet, "/subscribe?room=full", "")
	s.Do(t, http.MethodGet, "/history?room=b", "")
	s.Do(t, http.MethodGet, "/history", "")
	c.Close()
	var lines map[string]map[string]any
	chattest.Eventually(t, "all is logged", func() bool {
		lines = chattest.AccessLog(t, file)
		return len(lines) == 5
	})
	for uri, want := range map[string]map[string]any{
		"/subscribe?room=a&room=차": {"status": 200.0, "room": "a,차", "sse_events": 3.0, "sse_bytes": float64(sent), "sse_reason": "client"},
		"/subscribe?room=full":     {"status": 200.0, "room": "full", "sse_reason": "full"},
		"/update?room=a":           {"status": 200.0, "room": "a"},
		"/history?room=b":          {"status": 200.0, "room": "b"},
		"/history":                 {"status": 200.0, "room": "lobby"},
	} {
		for field, value := range want {
			if got := lines[uri][field]; got != value {
				t.Errorf("%s: %s is %v, want %v", uri, field, got, value)
			}
		}
	}
}
