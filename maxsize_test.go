package ssechat

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWhoLosesMessagesToMaxSizeIsToldSo(t *testing.T) {
	s := serve(t, "max_size 1MiB")
	first := s.post(t, "/update?room=old", "first")
	second := s.post(t, "/update?room=old", "second")
	live := s.stream(t, "/subscribe?room=live")
	large := strings.Repeat("x", 8<<10)
	for i := range 300 {
		m := s.post(t, "/update?room=live", large)
		if e := live.next(t); e.ID != m.ID {
			t.Fatalf("message %d came as %q, want %q", i, e.ID, m.ID)
		}
	}
	back := s.stream(t, "/subscribe?room=old", "Last-Event-ID: "+first.ID)
	if e := back.next(t); e.Name != "gap" || !strings.Contains(e.Data, `"expired"`) {
		t.Errorf("a reader who missed %s got %+v, want a gap", second.ID, e)
	}
	a := s.do(t, http.MethodGet, "/history?room=live&limit=200", "")
	if n := strings.Count(a.body, `"timestamp"`); n < 80 || n > 130 {
		t.Errorf("%d messages of 8 KiB are kept in 1 MiB", n)
	}
}

func TestMaxSizeChangesByAReload(t *testing.T) {
	s := serve(t, "max_size 64MiB")
	large := strings.Repeat("x", 8<<10)
	for i := range 200 {
		s.post(t, fmt.Sprint("/update?room=", i%2), large)
	}
	s.load(t, "sse_chat {\nmax_size 1MiB\n}")
	eventually(t, "messages make way", func() bool {
		return !strings.Contains(s.do(t, http.MethodGet, "/history?room=0", "").body, large)
	})
	if a := s.do(t, http.MethodGet, "/history?room=1&limit=200", ""); strings.Count(a.body, large) < 80 {
		t.Errorf("%d of the newest room's messages are kept", strings.Count(a.body, large))
	}
	err := loadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\nsse_chat {\nmax_size 2MiB\n}\nhandle /x {\nsse_chat {\nmax_size 3MiB\n}\n}\n}\n", globalOptions, s.addr))
	if want := `hub "default": its sites differ in retain, max_rooms or max_size`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("two sizes: %v, want %q", err, want)
	}
}
