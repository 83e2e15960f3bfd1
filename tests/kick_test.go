package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// One who was kicked may not write either, and is told why; others may.
func TestAKickedNamePublishesNothing(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat {\norigins https://other.example\n}", "sse_chat {\nhub named\nname {query.as}\nrate 2 1h\n}")
	chat, named := s.Sites[0], s.Sites[1]
	first := chat.Do(t, http.MethodPost, "/update", `{"text":"before","name":"kim","nonce":"n"}`)
	s.Admin.EndStreams(t, "default", "name=kim")
	s.Admin.EndStreams(t, "named", "name=kim")
	const batch, kicked = "Content-Type: application/x-ndjson", `the name \"kim\" was kicked`
	for _, test := range []struct {
		site   *chattest.Site
		path   string
		body   string
		header []string
		status int
		want   string // in the answer
	}{
		{chat, "/update", `{"text":"x","name":"kim"}`, nil, http.StatusForbidden, kicked},
		{chat, "/update?room=a", `{"text":"x","name":"kim"}`, nil, http.StatusForbidden, kicked},
		{chat, "/update", `{"text":"before","name":"kim","nonce":"n"}`, nil, http.StatusForbidden, kicked},
		{chat, "/update", "{\"text\":\"x\",\"name\":\"lee\"}\n{\"text\":\"x\",\"name\":\"kim\"}\n", []string{batch}, http.StatusForbidden, kicked},
		{chat, "/update", "{\"text\":\"x\",\"name\":\"lee\"}\n{\"text\":\"x\"}\n", []string{batch}, http.StatusOK, `"text":"x"`},
		{chat, "/update", `{"text":"x","name":"lee"}`, nil, http.StatusOK, `"text":"x"`},
		{chat, "/update", `{"text":"x"}`, nil, http.StatusOK, `"text":"x"`},
		{chat, "/update?name=kim", `{"text":"x"}`, nil, http.StatusOK, `"text":"x"`}, // which is no author
		{chat, "/update", `{"text":"x"}`, []string{"Origin: https://evil.example"}, http.StatusForbidden, "cross-origin"},
		// the configuration's name counts, not the client's
		{named, "/update?as=kim", `{"text":"x","name":"lee"}`, nil, http.StatusForbidden, kicked},
		{named, "/update?as=kim", "{\"text\":\"x\"}\n", []string{batch}, http.StatusForbidden, kicked},
		{named, "/update?as=lee", `{"text":"x","name":"kim"}`, nil, http.StatusOK, `"text":"x"`},
		{named, "/update?as=lee", `{"text":"x"}`, nil, http.StatusOK, `"text":"x"`}, // refusals do not count against the rate
		{named, "/update?as=lee", `{"text":"x"}`, nil, http.StatusTooManyRequests, "too many"},
	} {
		a := test.site.Do(t, http.MethodPost, test.path, test.body, test.header...)
		if a.Status != test.status || !strings.Contains(a.Body, test.want) {
			t.Errorf("%s %s: %d %s, want %d and %s", test.path, test.body, a.Status, a.Body, test.status, test.want)
		}
	}
	if got := chat.Do(t, http.MethodGet, "/history", "").Body; strings.Count(got, `"kim"`) != 1 || strings.Count(got, `"lee"`) != 2 || !strings.Contains(got, strings.TrimSpace(first.Body)) {
		t.Errorf("stored: %s", got)
	}
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{
		`publish_rejected_total{hub="default",reason="invalid"}`:      4,
		`publish_rejected_total{hub="default",reason="cross_origin"}`: 1,
		`publish_rejected_total{hub="named",reason="invalid"}`:        2,
	})
}

// HEAD tells what GET would.
func TestHEADOfAKickedName(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	s.Admin.EndStreams(t, "default", "name=kim")
	for path, status := range map[string]int{"/subscribe?name=kim": http.StatusNoContent, "/subscribe?name=lee": http.StatusOK, "/subscribe": http.StatusOK} {
		if a := s.Sites[0].Do(t, http.MethodHead, path, ""); a.Status != status {
			t.Errorf("HEAD %s: %d, want %d", path, a.Status, status)
		}
	}
}
