package ssechat

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// Over HTTP/1.1 each chunk ends with an event, and a stream that the server
// ends has a last chunk, whoever writes for it: also where a reader takes what
// is written in pieces, and replay and named events are between. A client of
// HTTP/1.0 gets the same without chunks.
func TestEventsOnTheWire(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, park := range []string{"on", "off"} {
			for _, version := range []string{"1.1", "1.0"} {
				t.Run(fmt.Sprintf("%s, park %s, HTTP/%s", scheme, park, version), func(t *testing.T) {
					testEventsOnTheWire(t, scheme, park, version)
				})
			}
		}
	}
}

func testEventsOnTheWire(t *testing.T, scheme, park, version string) {
	s := caddytest.ServeOver(t, scheme, "heartbeat 100ms\nwrite_timeout 30s\nretain 20000\npark "+park)

	var sent []chattest.Message
	publish := func(n int) {
		var batch strings.Builder
		for range n {
			fmt.Fprintf(&batch, "{\"text\":\"%s\"}\n", strings.Repeat("x", 1000))
		}
		a := s.Do(t, http.MethodPost, "/update", batch.String(), "Content-Type: application/x-ndjson")
		for line := range strings.Lines(a.Body) {
			var m chattest.Message
			chattest.Event{Data: line}.Decode(t, &m)
			sent = append(sent, m)
		}
	}
	publish(100)
	const path = "/subscribe?events=1&last=100"
	streams := []*chattest.RawStream{s.RawStream(t, version, path), s.RawStream(t, version, path)}
	if park == "on" {
		waitParked(t, hubOf(t, "default"), 2)
	}
	for range 4 { // more than sockets take of those who do not read
		publish(500)
	}
	for _, r := range streams {
		if chunked := strings.Contains(r.Header, "Transfer-Encoding: chunked"); chunked != (version == "1.1") {
			t.Errorf("header %q", r.Header)
		}
		if strings.Contains(r.Header, "Content-Length") || !strings.Contains(r.Header, "Connection: close") {
			t.Errorf("header %q", r.Header)
		}
	}
	got := make(map[*chattest.RawStream]string)
	for _, r := range streams {
		got[r] = r.Until(t, "\nid: "+sent[len(sent)-1].ID+"\n") + r.Until(t, "event: ping")
	}
	hubOf(t, "default").EndAll(hub.EndKicked)
	for _, r := range streams {
		body := got[r] + r.Rest(t)
		if version == "1.1" {
			var ok bool
			if body, ok = strings.CutSuffix(body, wire.LastChunk); !ok {
				t.Fatalf("no last chunk: %.200q", body[max(0, len(body)-200):])
			}
			body = chattest.Dechunk(t, body)
		}
		var texts, pings int
		for _, e := range chattest.ParseStream(body) {
			switch e.Name {
			case "":
				if e.Message(t); texts >= len(sent) || e.ID != sent[texts].ID {
					t.Fatalf("message %d is %+v", texts, e)
				}
				texts++
			case "ping":
				pings++
			case "hello", "live", "presence", "bye":
			default:
				t.Errorf("got %+v", e)
			}
		}
		if texts != len(sent) || pings == 0 {
			t.Errorf("%d messages, want %d, and %d pings", texts, len(sent), pings)
		}
	}
}
