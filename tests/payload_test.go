package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// What POST /update makes of event and data.
func TestEventAndData(t *testing.T) {
	s := caddytest.Serve(t, "max_text 1KiB")
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, test := range []struct {
		name, body, header string
		status             int
		want               string
	}{
		{"data alone", `{"data":{"a": [1, "\u2028"]}}`, "", 200, `{"text":"","timestamp":`},
		{"data alone", `{"data":{"a": [1, "\u2028"]}}`, "", 200, `"data":{"a":[1,"\u2028"]}}`},
		{"an event", `{"text":"x","event":"order.paid:v2_-"}`, "", 200, `"event":"order.paid:v2_-"}`},
		{"all", `{"text":"x","event":"order","data":17,"name":"kim"}`, "", 200, `"name":"kim","event":"order","data":17}`},
		{"a string", `{"data":"<b>"}`, "", 200, `"data":"<b>"}`},
		{"false", `{"data":false}`, "", 200, `"data":false}`},
		{"null is none", `{"text":"x","data":null,"event":null}`, "", 200, `{"text":"x"`},
		{"an empty text", `{"text":"","data":1}`, "", 200, `{"text":"","timestamp"`},
		{"the longest", fmt.Sprintf(`{"text":"x","event":"e","data":%q}`, strings.Repeat("d", 1020)), "", 200, `"event":"e"`},
		{"a form", "text=x&event=order&data=" + url.QueryEscape(`{"a": 1}`), form, 200, `"event":"order","data":{"a":1}}`},
		{"a form with data alone", "data=17", form, 200, `"data":17}`},

		{"neither text nor data", `{"event":"order"}`, "", 400, noText},
		{"null data", `{"data":null}`, "", 400, noText},
		{"text that is a number, with data", `{"text":1,"data":1}`, "", 400, noText},
		{"an empty event", `{"text":"x","event":""}`, "", 400, "event"},
		{"a long event", fmt.Sprintf(`{"text":"x","event":%q}`, strings.Repeat("e", 65)), "", 400, "1 to 64"},
		{"a line in an event", `{"text":"x","event":"a\nb"}`, "", 400, "1 to 64"},
		{"a space in an event", `{"text":"x","event":"a b"}`, "", 400, "1 to 64"},
		{"a number for an event", `{"text":"x","event":1}`, "", 400, "event: must be a string"},
		{"a form with data that are no JSON", "data=x", form, 400, "form field data: must be JSON"},
		{"half of a surrogate pair in data", `{"data":["\ud800"]}`, "", 400, "data: has an unpaired surrogate"},
		{"a control character in data", `{"data":{"a":"\u0000"}}`, "", 400, "data: "},
		{"a control character in a key of data", `{"data":{"\u0085":1}}`, "", 400, "data: "},
		{"data as deep as may be", `{"data":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "", 200, `[[[[`},
		{"deeper data", `{"data":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`, "", 400, "deeper than 100 levels"},
		{"data that are no JSON", `{"data":{a:1}}`, "", 400, "not JSON"},
		{"too long together", fmt.Sprintf(`{"text":"x","event":"ee","data":%q}`, strings.Repeat("d", 1020)), "", 413, "text, data and event: too long, 1025 bytes are more than 1024"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var header []string
			if test.header != "" {
				header = []string{test.header}
			}
			if a := s.Do(t, http.MethodPost, "/update", test.body, header...); a.Status != test.status || !strings.Contains(a.Body, test.want) {
				t.Errorf("%d %s, want %d with %s", a.Status, a.Body, test.status, test.want)
			}
		})
	}
	for name := range strings.FieldsSeq("message open error start hello live ping presence change delete signal bye gap") {
		if a := s.Do(t, http.MethodPost, "/update", fmt.Sprintf(`{"text":"x","event":%q}`, name)); a.Status != 400 || !strings.Contains(a.Body, "another meaning") {
			t.Errorf("the event %q: %d %s", name, a.Status, a.Body)
		}
	}
}

// An event reaches its listeners over each protocol, live, on resume and in a batch, and
// from each store.
func TestEventsReachTheirListeners(t *testing.T) {
	for name, store := range map[string]string{"memory": "", "bolt": "store bolt " + filepath.Join(t.TempDir(), "chat.db")} {
		t.Run(name, func(t *testing.T) {
			s := caddytest.Serve(t, store)
			c := s.Stream(t, "/subscribe")
			before := s.Post(t, "/update", "before")
			c.Next(t)
			body := "{\"text\":\"one\",\"event\":\"order\",\"data\":{\"n\": 1}}\n{\"data\":[2]}\n"
			if a := s.Do(t, http.MethodPost, "/update", body, "Content-Type: application/x-ndjson"); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			back := s.Stream(t, "/subscribe", "Last-Event-ID: "+before.ID)
			for _, stream := range []*chattest.Stream{c, back} {
				if e := stream.Next(t); e.Name != "order" || !strings.Contains(e.Data, `{"text":"one"`) || !strings.HasSuffix(e.Data, `"event":"order","data":{"n":1}}`) {
					t.Errorf("got %+v", e)
				}
				if e := stream.Next(t); e.Name != "" || !strings.HasSuffix(e.Data, `"data":[2]}`) {
					t.Errorf("got %+v", e)
				}
			}
			if a := s.Do(t, http.MethodGet, "/history", ""); !strings.Contains(a.Body, `"event":"order","data":{"n":1}}`) {
				t.Errorf("history: %s", a.Body)
			}
		})
	}
}

// A raw stream has the text or the data as they are, over each protocol, parked or not.
func TestEachProtocolStreamsRaw(t *testing.T) {
	caddytest.EachProtocol(t, "format raw", func(t *testing.T, s *chattest.Site, _ int) {
		c := s.Stream(t, "/subscribe?room=tea")
		before := s.Post(t, "/update?room=tea", "before")
		if e := c.Next(t); e.Data != "before" || e.ID != before.ID || e.Name != "" {
			t.Errorf("got %+v", e)
		}
		post(t, s, "/update?room=tea", `{"text":" two\nlines\n\nevent: x","event":"note"}`)
		post(t, s, "/update?room=tea", `{"text":"ignored","data":"<li class=\"new\">tea</li>"}`)
		post(t, s, "/update?room=tea", `{"data":{"score": [1, 2]}}`)
		back := s.Stream(t, "/subscribe?room=tea", "Last-Event-ID: "+before.ID)
		for _, stream := range []*chattest.Stream{c, back} {
			for _, want := range []chattest.Event{
				{Name: "note", Data: " two\nlines\n\nevent: x"},
				{Data: `<li class="new">tea</li>`},
				{Data: `{"score":[1,2]}`},
			} {
				e := stream.Next(t)
				if e.ID == "" {
					t.Errorf("%+v has no id", e)
				}
				if e.ID = ""; e != want {
					t.Errorf("got %+v, want %+v", e, want)
				}
			}
		}
		// the history stays JSON, and so do named events
		if a := s.Do(t, http.MethodGet, "/history?room=tea", ""); !strings.Contains(a.Body, `{"messages":[{"text":"before"`) {
			t.Errorf("history: %s", a.Body)
		}
		if e := s.Stream(t, "/subscribe?room=tea&events=1").Next(t); e.Name != "hello" || !strings.HasPrefix(e.Data, `{"rooms":["tea"]`) {
			t.Errorf("got %+v", e)
		}
	})
}
