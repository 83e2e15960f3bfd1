package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestHistory(t *testing.T) {
	s := caddytest.Serve(t, "")
	ids := map[string]string{"1000000000000": "1"}
	texts := make([]string, 10)
	for i := range 10 {
		m := s.Post(t, "/update?room=a", fmt.Sprint(i))
		ids[m.ID], texts[i] = fmt.Sprint(i), m.ID
	}
	page := func(query string) (string, bool) {
		t.Helper()
		a := s.Do(t, http.MethodGet, "/history?room=a"+query, "")
		var got struct {
			Messages []chattest.Message
			More     bool
		}
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %v %s", query, a.Status, a.Header, a.Body)
		}
		list := ""
		for _, m := range got.Messages {
			if list += m.Text; texts[m.Text[0]-'0'] != m.ID || m.Room != "a" {
				t.Fatalf("%s: %+v", query, m)
			}
		}
		return list, got.More
	}
	for _, test := range []struct {
		query, want string
		more        bool
	}{
		{"", "0123456789", false},
		{"&limit=3", "789", true},
		{"&limit=10", "0123456789", false},
		{"&limit=100000", "0123456789", false},
		{"&limit=99999999999999999999", "0123456789", false},
		{"&limit=0", "", true},
		{"&before=" + texts[5], "01234", false},
		{"&limit=2&before=" + texts[5], "34", true},
		{"&before=" + texts[0], "", false},
		{"&after=" + texts[5], "6789", false},
		{"&limit=2&after=" + texts[5], "67", true},
		{"&after=" + texts[9], "", false},
		{"&after=0", "0123456789", false},
		{"&before=9999999999999999", "0123456789", false},
	} {
		if got, more := page(test.query); got != test.want || more != test.more {
			t.Errorf("%s: %q, more %v; want %q, %v", test.query, got, more, test.want, test.more)
		}
	}
	if a := s.Do(t, http.MethodGet, "/history?room=empty", ""); a.Body != `{"messages":[],"more":false}` {
		t.Errorf("an empty room: %s", a.Body)
	}
	for query, want := range map[string]string{
		"before=1&after=2": "not both",
		"before=":          "before: id",
		"before=x":         "before: id",
		"after=1-":         "after: id",
		"limit=x":          `"x" is not a number`,
		"limit=-1":         `"-1" is not a number`,
		"limit=":           `"" is not a number`,
		"room=a&room=b":    "more than once",
		"room=":            "needs a name",
	} {
		if a := s.Do(t, http.MethodGet, "/history?"+query, ""); a.Status != http.StatusBadRequest || !strings.Contains(strings.ReplaceAll(a.Body, `\"`, `"`), want) {
			t.Errorf("%s: %d %s, want 400 with %q", query, a.Status, a.Body, want)
		}
	}
	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		if a := s.Do(t, method, "/history", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
		}
	}
}

func TestHistoryIsCut(t *testing.T) {
	s := caddytest.Serve(t, "")
	a := s.Do(t, http.MethodPost, "/update", strings.Repeat("{\"text\":\"x\"}\n", 300), "Content-Type: application/x-ndjson")
	if a.Status != http.StatusOK {
		t.Fatal(a.Body)
	}
	for query, want := range map[string]int{"": 50, "?limit=200": 200, "?limit=201": 200} {
		if a := s.Do(t, http.MethodGet, "/history"+query, ""); strings.Count(a.Body, `"timestamp"`) != want || !strings.Contains(a.Body, `"more":true`) {
			t.Errorf("%s: %d messages, want %d", query, strings.Count(a.Body, `"timestamp"`), want)
		}
	}
}

func TestHistoryIsCached(t *testing.T) {
	s := caddytest.Serve(t, "")
	first := s.Post(t, "/update", "1")
	second := s.Post(t, "/update", "2")
	path := "/history?before=" + second.ID
	a := s.Do(t, http.MethodGet, path, "")
	etag := a.Header.Get("Etag")
	if len(etag) < 10 || a.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("%d %v", a.Status, a.Header)
	}
	if a := s.Do(t, http.MethodGet, path, "", "If-None-Match: "+etag); a.Status != http.StatusNotModified || a.Body != "" {
		t.Errorf("with its ETag: %d %s", a.Status, a.Body)
	}
	for _, field := range []string{"Range: bytes=0-3", "Range: bytes=9999-", "If-Match: x", `If-None-Match: "x"`} {
		if again := s.Do(t, http.MethodGet, path, "", field); again.Status != http.StatusOK || again.Body != a.Body {
			t.Errorf("with %s: %d %s", field, again.Status, again.Body)
		}
	}
	caddytest.API().DeleteMessage(t, "default", first.ID)
	if a := s.Do(t, http.MethodGet, path, "", "If-None-Match: "+etag); a.Status != http.StatusOK || a.Body != `{"messages":[],"more":false}` {
		t.Errorf("after a deletion: %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Etag") != "" {
		t.Errorf("the newest: %v", a.Header)
	}
}
