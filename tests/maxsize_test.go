package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestWhoLosesMessagesToMaxSizeIsToldSo(t *testing.T) {
	s := caddytest.Serve(t, "max_size 1MiB")
	first := s.Post(t, "/update?room=old", "first")
	second := s.Post(t, "/update?room=old", "second")
	live := s.Stream(t, "/subscribe?room=live")
	large := strings.Repeat("x", 8<<10)
	for i := range 300 {
		m := s.Post(t, "/update?room=live", large)
		if e := live.Next(t); e.ID != m.ID {
			t.Fatalf("message %d came as %q, want %q", i, e.ID, m.ID)
		}
	}
	back := s.Stream(t, "/subscribe?room=old", "Last-Event-ID: "+first.ID)
	if e := back.Next(t); e.Name != "gap" || !strings.Contains(e.Data, `"expired"`) {
		t.Errorf("a reader who missed %s got %+v, want a gap", second.ID, e)
	}
	a := s.Do(t, http.MethodGet, "/history?room=live&limit=200", "")
	if n := strings.Count(a.Body, `"timestamp"`); n < 80 || n > 130 {
		t.Errorf("%d messages of 8 KiB are kept in 1 MiB", n)
	}
}

func TestMaxSizeChangesByAReload(t *testing.T) {
	s := caddytest.Serve(t, "max_size 64MiB")
	large := strings.Repeat("x", 8<<10)
	for i := range 200 {
		s.Post(t, fmt.Sprint("/update?room=", i%2), large)
	}
	caddytest.Load(t, s, "sse_chat {\nmax_size 1MiB\n}")
	chattest.Eventually(t, "messages make way", func() bool {
		return !strings.Contains(s.Do(t, http.MethodGet, "/history?room=0", "").Body, large)
	})
	if a := s.Do(t, http.MethodGet, "/history?room=1&limit=200", ""); strings.Count(a.Body, large) < 80 {
		t.Errorf("%d of the newest room's messages are kept", strings.Count(a.Body, large))
	}
	err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\nsse_chat {\nmax_size 2MiB\n}\nhandle /x {\nsse_chat {\nmax_size 3MiB\n}\n}\n}\n", caddytest.GlobalOptions(), s.Addr))
	if want := `hub "default": its sites differ in retain, max_rooms or max_size`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("two sizes: %v, want %q", err, want)
	}
}
