package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// What is full or leaves answers in chunks, too.
func TestAnAnswerToComeBackLaterHasNoLength(t *testing.T) {
	caddytest.EachProtocol(t, "max_subscribers 1", func(t *testing.T, s *chattest.Site, _ int) {
		first := s.Stream(t, "/subscribe")
		defer first.Close()
		first.Until(t, ":ok\n")
		a := s.Do(t, http.MethodGet, "/subscribe", "")
		if length := a.Header.Get("Content-Length"); length != "" || !strings.HasPrefix(a.Body, "retry: ") {
			t.Errorf("Content-Length %q of %q", length, a.Body)
		}
	})
}

// asBrowser is what a browser's own EventSource sends, as Chromium 156 and
// Firefox 153 do.
var asBrowser = []string{
	"Accept: text/event-stream", "Cache-Control: no-cache", "Pragma: no-cache",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
}

// A reader who is cut off before its first message resumes where it began.
func TestWhoIsCutOffBeforeTheFirstMessageLosesNothing(t *testing.T) {
	caddytest.EachProtocol(t, "", func(t *testing.T, s *chattest.Site, _ int) {
		old := s.Post(t, "/update", "old")
		for _, test := range []struct {
			name, query, first string
			header             []string
			replays            bool
		}{
			{"a browser", "", "start", asBrowser, false},
			{"a browser with last", "?last=1", "start", asBrowser, true},
			{"named events", "?events=1", "hello", nil, false},
			{"a browser with named events", "?events=1&last=1", "hello", asBrowser, true},
			{"a browser in another room", "?room=empty", "start", asBrowser, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				c := s.Stream(t, "/subscribe"+test.query, test.header...)
				begin := c.Next(t)
				c.Close()
				if id, err := store.ParseID(begin.ID); begin.Name != test.first || err != nil || test.first == "start" && begin.Data != begin.ID {
					t.Fatalf("the stream begins with %+v (%v, %v)", begin, id, err)
				}
				room := ""
				if strings.Contains(test.query, "room") {
					room = test.query
				}
				missed := s.Post(t, "/update"+room, "missed")
				again := s.Stream(t, "/subscribe"+test.query, append(test.header, "Last-Event-ID: "+begin.ID)...)
				defer again.Close()
				wanted := []chattest.Message{missed}
				if test.replays {
					wanted = []chattest.Message{old, missed}
				}
				for _, want := range wanted {
					e := again.Next(t)
					for e.Name == "hello" {
						if e.ID != "" || strings.Contains(e.Data, `"resumed":false`) {
							t.Errorf("resumed with %+v", e)
						}
						e = again.Next(t)
					}
					if e.Name != "" || e.Message(t) != want {
						t.Fatalf("resumed with %+v, want %+v", e, want)
					}
				}
				old = missed
				if room != "" {
					old = s.Post(t, "/update", "old")
				}
			})
		}
	})
}

// Who hands every event to one callback gets no event but messages.
func TestWhoIsNoBrowserGetsNoStart(t *testing.T) {
	s := caddytest.Serve(t, "")
	for name, header := range map[string][]string{
		"curl":                   {"Accept: */*", "User-Agent: curl/8"},
		"a script's fetch":       {"Accept: text/event-stream", asBrowser[3]},
		"a fetch without cache":  {"Accept: text/event-stream, */*", asBrowser[1], asBrowser[2], asBrowser[3]},
		"two kinds":              {"Accept: text/event-stream", "Accept: text/html", asBrowser[1], asBrowser[2], asBrowser[3]},
		"a library":              {asBrowser[0], asBrowser[1], asBrowser[2], "User-Agent: node"},
		"only Cache-Control":     {asBrowser[0], asBrowser[1], asBrowser[3]},
		"one who has an id":      append([]string{"Last-Event-ID: 0"}, asBrowser...),
		"nothing":                nil,
		"a browser, reloaded":    {asBrowser[0], "Cache-Control: max-age=0", asBrowser[2], asBrowser[3]},
		"one who has a wrong id": append([]string{"Last-Event-ID: x"}, asBrowser...),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.Stream(t, "/subscribe", header...)
			m := s.Post(t, "/update", "x")
			for e := c.Next(t); e.ID != m.ID; e = c.Next(t) {
				if e.Name != "gap" {
					e.Message(t)
				}
			}
		})
	}
}

// An empty hub's starting point is before all messages.
func TestTheFirstMessageOfAHubIsNotLost(t *testing.T) {
	for _, st := range []string{"memory", "bolt " + t.TempDir() + "/chat.db"} {
		t.Run(st[:4], func(t *testing.T) {
			s := caddytest.Serve(t, "hub "+st[:4]+"\nstore "+st)
			c := s.Stream(t, "/subscribe", asBrowser...)
			id := c.Next(t).ID
			c.Close()
			m := s.Post(t, "/update", "first")
			again := s.Stream(t, "/subscribe", "Last-Event-ID: "+id)
			if got := again.Next(t).Message(t); got != m {
				t.Errorf("after %q: %+v, want %+v", id, got, m)
			}
		})
	}
}

// The name that the configuration gives is told, another is not.
func TestHelloTellsTheReadersName(t *testing.T) {
	s := caddytest.Serve(t, "name {http.request.header.X-User}")
	for _, test := range []struct {
		header []string
		want   string
	}{
		{[]string{"X-User: kim"}, `"you":{"name":"kim"}}`},
		{nil, `"resumed":false}`},
	} {
		if e := s.Stream(t, "/subscribe?events=1&name=lee", test.header...).Next(t); e.Name != "hello" || !strings.HasSuffix(e.Data, test.want) {
			t.Errorf("%v: %+v", test.header, e)
		}
	}
	caddytest.Load(t, s, "sse_chat")
	if e := s.Stream(t, "/subscribe?events=1&name=lee").Next(t); strings.Contains(e.Data, `"you"`) {
		t.Errorf("got %+v", e)
	}
}
