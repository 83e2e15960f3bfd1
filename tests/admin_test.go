package tests

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

func TestAdminListsHubsAndRooms(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat", "sse_chat {\nhub other\n}")
	chat := s.Sites[0]
	reader := chat.Stream(t, "/subscribe?room=차&room=tea&name=kim")
	chat.Post(t, "/update?room=tea", "1")
	chat.Post(t, "/update?room=idle", "2")
	chat.Post(t, "/update?room=idle", "3")
	reader.Next(t)

	list := s.Admin.Hubs(t)
	if len(list) != 2 || list[0].Name != "default" || list[1].Name != "other" {
		t.Fatalf("hubs: %+v", list)
	}
	got := list[0]
	if got.Store != "memory" || !got.StoreUp || got.Rooms != 2 || got.Subscribers != 1 ||
		got.Counters.Published != 3 || got.Counters.Delivered != 1 || got.Counters.StreamsOpened != 1 {
		t.Errorf("got %+v", got)
	}
	if len(list[1].Counters.StreamsClosed) != len(hub.EndReasons) {
		t.Errorf("reasons: %v", list[1].Counters.StreamsClosed)
	}

	a := s.Admin.Do(t, http.MethodGet, "/sse_chat/hubs/default/rooms", "")
	want := `[{"name":"idle","messages":2,"subscribers":0},` +
		`{"name":"tea","messages":1,"subscribers":1,"names":["kim"]},` +
		`{"name":"차","messages":0,"subscribers":1,"names":["kim"]}]` + "\n"
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" || a.Body != want {
		t.Errorf("rooms: %d %v\n%s, want\n%s", a.Status, a.Header, a.Body, want)
	}
	if a := s.Admin.Do(t, http.MethodGet, "/sse_chat/hubs/other/rooms", ""); a.Body != "[]\n" {
		t.Errorf("the rooms of a hub without: %s", a.Body)
	}
}

// A deleted message is gone from replay and history, and from the pages that
// show it.
func TestAdminDeletesAMessage(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	chat := s.Sites[0]
	page, plain := chat.Stream(t, "/subscribe?room=tea&events=1"), chat.Stream(t, "/subscribe?room=tea")
	bad := chat.Post(t, "/update?room=tea", "bad")
	page.Until(t, `"bad"`)
	plain.Until(t, `"bad"`)
	if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/messages/"+bad.ID, ""); a.Status != http.StatusNoContent || a.Body != "" {
		t.Fatalf("deleting: %d %s", a.Status, a.Body)
	}
	page.Until(t, "event: delete\nid: ")
	page.Until(t, "data: {\"id\":\""+bad.ID+"\",\"room\":\"tea\"}\n\n")
	good := chat.Post(t, "/update?room=tea", "good")
	if got := plain.Until(t, good.ID); strings.Contains(got, "event:") {
		t.Errorf("one who asked for no named events got %q", got)
	}
	if a := chat.Do(t, http.MethodGet, "/history?room=tea", ""); strings.Contains(a.Body, "bad") || !strings.Contains(a.Body, "good") {
		t.Errorf("history: %s", a.Body)
	}
	if got := chat.Stream(t, "/subscribe?room=tea&last=10").Next(t).Message(t); got != good {
		t.Errorf("replay begins with %+v, want %+v", got, good)
	}
	a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/messages/"+bad.ID, "")
	if a.Status != http.StatusNotFound || !strings.Contains(a.Body, bad.ID) {
		t.Errorf("deleting it again: %d %s", a.Status, a.Body)
	}
}

func TestAdminForgetsARoom(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	chat := s.Sites[0]
	forget := func(path string) {
		t.Helper()
		if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/"+path, ""); a.Status != http.StatusNoContent {
			t.Fatalf("forgetting %s: %d %s", path, a.Status, a.Body)
		}
	}
	for room, path := range map[string]string{
		"차":     "rooms/" + url.PathEscape("차"),
		"lobby": "rooms/lobby",
		"..":    "rooms?room=..",
	} {
		reader := chat.Stream(t, "/subscribe?room="+url.QueryEscape(room))
		chat.Post(t, "/update?room="+url.QueryEscape(room), "old")
		other := chat.Post(t, "/update?room=other", "kept")
		reader.Until(t, "old")
		forget(path)
		if a := chat.Do(t, http.MethodGet, "/history?room="+url.QueryEscape(room), ""); !strings.Contains(a.Body, `"messages":[]`) {
			t.Errorf("the history of room %q: %s", room, a.Body)
		}
		if a := chat.Do(t, http.MethodGet, "/history?room=other", ""); !strings.Contains(a.Body, other.ID) {
			t.Errorf("the history of the other room: %s", a.Body)
		}
		// one who reads the room reads on
		again := chat.Post(t, "/update?room="+url.QueryEscape(room), "new")
		if got := reader.Next(t).Message(t); got != again {
			t.Errorf("after it was forgotten, room %q got %+v, want %+v", room, got, again)
		}
		if got := chat.Stream(t, "/subscribe?last=9&room="+url.QueryEscape(room)).Next(t).Message(t); got != again {
			t.Errorf("replay of room %q begins with %+v, want %+v", room, got, again)
		}
	}
	forget("rooms/never-seen")
}

// A kicked reader is told, and kept out for a while; others stay.
func TestAdminKicksAName(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat", `sse_chat {
		hub named
		name {query.as}
	}`)
	chat := s.Sites[0]
	plain, named := chat.Stream(t, "/subscribe?room=a&name=kim"), chat.Stream(t, "/subscribe?room=b&name=kim&events=1")
	other, nameless := chat.Stream(t, "/subscribe?room=a&name=lee"), chat.Stream(t, "/subscribe?room=a")
	if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=kim", ""); a.Status != http.StatusNoContent {
		t.Fatalf("kicking: %d %s", a.Status, a.Body)
	}
	if rest, err := plain.Rest(t); err != io.EOF || !regexp.MustCompile(`\nretry: \d+\n$`).MatchString(rest) {
		t.Errorf("the stream ends with %q, %v", rest, err)
	}
	if rest, err := named.Rest(t); err != io.EOF || !regexp.MustCompile(`\nretry: (\d+)\nevent: bye\ndata: {"reason":"kicked","retry_ms":\d+}\n\n$`).MatchString(rest) {
		t.Errorf("the stream with named events ends with %q, %v", rest, err)
	}
	for _, path := range []string{"/subscribe?name=kim", "/subscribe?name=kim&room=c&events=1"} {
		if a := chat.Do(t, http.MethodGet, path, ""); a.Status != http.StatusNoContent || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s: %d %v", path, a.Status, a.Header)
		}
	}
	m := chat.Post(t, "/update?room=a", "x")
	for _, c := range []*chattest.Stream{other, nameless} {
		if got := c.Next(t).Message(t); got != m {
			t.Errorf("another reader got %+v, want %+v", got, m)
		}
	}
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`streams_closed_total{hub="default",reason="kicked"}`: 2})

	// a reload lets nobody in again
	s.Load(t, "sse_chat {\nretry 1s\n}", "sse_chat {\nhub named\nname {query.as}\n}")
	if a := chat.Do(t, http.MethodGet, "/subscribe?name=kim", ""); a.Status != http.StatusNoContent {
		t.Errorf("after a reload: %d", a.Status)
	}

	// the configuration's name counts, not the client's
	liar := s.Sites[1].Stream(t, "/subscribe?as=kim&name=lee")
	s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/named/subscribers?name=lee", "")
	s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/named/subscribers?name=kim", "")
	if rest, err := liar.Rest(t); err != io.EOF {
		t.Errorf("the stream goes on: %q, %v", rest, err)
	}
	if a := s.Sites[1].Do(t, http.MethodGet, "/subscribe?as=kim&name=park", ""); a.Status != http.StatusNoContent {
		t.Errorf("the kicked one under another ?name=: %d", a.Status)
	}
}

func TestAdminErrors(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	for _, test := range []struct {
		method, path string
		status       int
		want         string
	}{
		{http.MethodGet, "/hubs/none/rooms", http.StatusNotFound, `no hub \"none\" is open`},
		{http.MethodDelete, "/hubs/none/rooms/a", http.StatusNotFound, "no hub"},
		{http.MethodDelete, "/hubs/none/messages/1", http.StatusNotFound, "no hub"},
		{http.MethodDelete, "/hubs/none/subscribers?name=kim", http.StatusNotFound, "no hub"},
		{http.MethodDelete, "/hubs/default/messages/1", http.StatusNotFound, "message 1: no such message"},
		{http.MethodDelete, "/hubs/default/messages/one", http.StatusNotFound, "one"},
		{http.MethodDelete, "/hubs/default/rooms/a%20b", http.StatusBadRequest, "a b"},
		{http.MethodDelete, "/hubs/default/rooms", http.StatusBadRequest, "a room needs a name"},
		{http.MethodDelete, "/hubs/default/subscribers", http.StatusBadRequest, "?name="},
		{http.MethodDelete, "/hubs/default/subscribers?name=", http.StatusBadRequest, "?name="},
		{http.MethodDelete, "/hubs/default/subscribers?name=&name=", http.StatusBadRequest, "one of ?name=, ?room= and ?all"},
		{http.MethodDelete, "/hubs/default/subscribers?name=kim&room=a", http.StatusBadRequest, "one of ?name=, ?room= and ?all"},
		{http.MethodDelete, "/hubs/default/subscribers?room=a&room=b", http.StatusBadRequest, "one of ?name=, ?room= and ?all"},
		{http.MethodDelete, "/hubs/default/subscribers?all&room=a", http.StatusBadRequest, "one of ?name=, ?room= and ?all"},
		{http.MethodDelete, "/hubs/default/subscribers?room=", http.StatusBadRequest, "a room needs a name"},
		{http.MethodDelete, "/hubs/default/subscribers?room=a%20b", http.StatusBadRequest, "a b"},
		{http.MethodDelete, "/hubs/default/subscribers?all=false", http.StatusBadRequest, `all: \"false\"`},
		{http.MethodDelete, "/hubs/default/subscribers?all&%zz", http.StatusBadRequest, "%zz"},
		{http.MethodDelete, "/hubs/none/subscribers?all", http.StatusNotFound, "no hub"},
		{http.MethodPost, "/hubs/default/subscribers?all", http.StatusMethodNotAllowed, "POST"},
		{http.MethodDelete, "/hubs/default/subscribers?name=a%00", http.StatusBadRequest, "not printable"},
		{http.MethodPost, "/hubs", http.StatusMethodNotAllowed, "POST"},
		{http.MethodPut, "/hubs/default/rooms", http.StatusMethodNotAllowed, "PUT"},
		{http.MethodGet, "/hubs/default/rooms/a", http.StatusMethodNotAllowed, "GET"},
		{http.MethodGet, "/hubs/default/messages/1", http.StatusMethodNotAllowed, "GET"},
		{http.MethodGet, "/hubs/default/subscribers?name=a", http.StatusMethodNotAllowed, "GET"},
		{http.MethodGet, "/other", http.StatusNotFound, ""},
	} {
		a := s.Admin.Do(t, test.method, "/sse_chat"+test.path, "")
		if a.Status != test.status || !strings.Contains(a.Body, test.want) {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, a.Status, a.Body, test.status, test.want)
		}
		if test.status == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", test.method, test.path)
		}
	}
}
