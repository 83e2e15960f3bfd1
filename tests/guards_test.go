package tests

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// endpoints are what a guard has to keep shut.
var endpoints = []struct{ method, path, body string }{
	{http.MethodGet, "/subscribe", ""},
	{http.MethodHead, "/subscribe", ""},
	{http.MethodGet, "/history", ""},
	{http.MethodPost, "/update", `{"text":"x"}`},
}

// What a site denies, or answers otherwise, never reaches the chat, in
// whatever order it is written.
func TestGuardsComeBeforeTheChat(t *testing.T) {
	const outside, inside = "@out not remote_ip 10.0.0.0/8", "@out not remote_ip 127.0.0.0/8"
	for _, test := range []struct {
		guard  string
		status int // 0 is a connection that ends without an answer
	}{
		{"abort @out", 0},
		{"error @out 403", http.StatusForbidden},
		{"respond @out 403", http.StatusForbidden},
		{"respond @out 403 {\nclose\n}", http.StatusForbidden},
		{"handle @out {\nrespond 403\n}", http.StatusForbidden},
		{"route @out {\nrespond 403\n}", http.StatusForbidden},
		{"redir @out https://login.example/", http.StatusFound},
	} {
		t.Run(test.guard, func(t *testing.T) {
			s := caddytest.ServeSite(t, "sse_chat\n"+outside+"\n"+test.guard)
			for _, to := range endpoints {
				status := statusOf(t, s, to.method, to.path, to.body)
				if status != test.status {
					t.Errorf("%s %s: %d, want %d", to.method, to.path, status, test.status)
				}
			}
			if n := caddytest.Hub(t, "default").Counters; n.StreamsOpened != 0 || n.Published != 0 {
				t.Errorf("%d streams were opened, %d messages published", n.StreamsOpened, n.Published)
			}
			caddytest.Load(t, s, "sse_chat\n"+inside+"\n"+test.guard)
			s.Stream(t, "/subscribe").Until(t, ":ok\n")
			s.Post(t, "/update", "x")
			if a := s.Do(t, http.MethodGet, "/history", ""); a.Status != http.StatusOK || !strings.Contains(a.Body, `"text":"x"`) {
				t.Errorf("one who may: %d %s", a.Status, a.Body)
			}
		})
	}
}

// statusOf returns what a request is answered with, or 0 if it is not.
func statusOf(t *testing.T, s *chattest.Site, method, path, body string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), chattest.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // so that nothing is tried again
	response, err := transport.RoundTrip(request)
	if err != nil {
		if ctx.Err() != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// The chat comes before what serves all the rest.
func TestTheChatComesBeforeWhatServesTheRest(t *testing.T) {
	for _, block := range []string{"file_server", "reverse_proxy 127.0.0.1:9", "metrics", "php_fastcgi 127.0.0.1:9"} {
		s := caddytest.ServeSite(t, block+"\nsse_chat")
		s.Stream(t, "/subscribe").Until(t, ":ok\n")
		s.Post(t, "/update", "x")
		if a := s.Do(t, http.MethodGet, "/history", ""); a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", block, a.Status, a.Body)
		}
	}
}

// What rewrites requests comes first, and what the chat does not take goes on
// as it was rewritten.
func TestTheChatBelowAPath(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "page.html", "the page")
	for name, block := range map[string]string{
		"handle_path":      "handle_path /chat/* {\nsse_chat\nroot " + dir + "\nfile_server\n}",
		"uri strip_prefix": "uri strip_prefix /chat\nsse_chat",
		"its own paths":    "sse_chat {\nsubscribe /chat/subscribe\nupdate /chat/update\nhistory /chat/history\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := caddytest.ServeSite(t, block)
			c := s.Stream(t, "/chat/subscribe")
			m := s.Post(t, "/chat/update", "x")
			if got := c.Next(t).Message(t); got != m {
				t.Errorf("got %+v, want %+v", got, m)
			}
			if a := s.Do(t, http.MethodGet, "/chat/history", ""); a.Status != http.StatusOK || !strings.Contains(a.Body, m.ID) {
				t.Errorf("history: %d %s", a.Status, a.Body)
			}
			if name == "handle_path" {
				if a := s.Do(t, http.MethodGet, "/chat/page.html", ""); a.Body != "the page" {
					t.Errorf("the page: %d %s", a.Status, a.Body)
				}
				if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`); a.Body != "" {
					t.Errorf("outside of the path: %d %s", a.Status, a.Body)
				}
			}
		})
	}
}

// A matcher with a path picks requests, but does not move the endpoints.
func TestAMatcherDoesNotMoveTheEndpoints(t *testing.T) {
	s := caddytest.ServeSite(t, "sse_chat /chat/*")
	for _, prefix := range []string{"", "/chat"} {
		if a := s.Do(t, http.MethodPost, prefix+"/update", `{"text":"x"}`); a.Body != "" {
			t.Errorf("POST %s/update: %d %s", prefix, a.Status, a.Body)
		}
	}
}

// A fallback to a page for all paths rewrites those of the chat too, where it
// stands beside it.
func TestTheChatBesideASinglePageApp(t *testing.T) {
	dir := t.TempDir()
	const page = "<html>the app</html>"
	writeFile(t, dir, "index.html", page)
	s := caddytest.ServeSite(t, `handle {
		root `+dir+`
		try_files {path} /index.html
		file_server
	}
	@chat path /subscribe /update /history
	handle @chat {
		sse_chat
	}`)
	c := s.Stream(t, "/subscribe")
	m := s.Post(t, "/update", "x")
	if got := c.Next(t).Message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	for _, path := range []string{"/", "/rooms/tea"} {
		if a := s.Do(t, http.MethodGet, path, ""); a.Body != page {
			t.Errorf("GET %s: %d %s", path, a.Status, a.Body)
		}
	}
	caddytest.Load(t, s, "root "+dir+"\ntry_files {path} /index.html\nsse_chat\nfile_server")
	if a := s.Do(t, http.MethodGet, "/subscribe", ""); a.Body != page {
		t.Errorf("the chat is reached beside the fallback, which the documentation denies: %d %s", a.Status, a.Body)
	}
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
