package tests

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestEachProtocolStreams(t *testing.T) {
	caddytest.EachProtocol(t, "heartbeat 1s", func(t *testing.T, s *chattest.Site, major int) {
		c := s.Stream(t, "/subscribe?events=1", "Accept-Encoding: gzip, zstd")
		defer c.Close()
		header := c.Response.Header
		if c.Response.ProtoMajor != major || c.Response.StatusCode != http.StatusOK || header.Get("Content-Encoding") != "" {
			t.Fatalf("%s, status %d, %v", c.Response.Proto, c.Response.StatusCode, header)
		}
		if major > 1 && (header.Get("Connection") != "" || header.Get("Transfer-Encoding") != "") {
			t.Errorf("a header of HTTP/1.1: %v", header)
		}
		if got := c.Until(t, "retry: 10000\n"); got != ":ok\nretry: 10000\n" {
			t.Errorf("the first bytes are %q", got)
		}
		for _, want := range []string{"hello", "live", "presence"} {
			if e := c.Next(t); e.Name != want {
				t.Errorf("got %+v, want %s", e, want)
			}
		}
		sent := s.Post(t, "/update", "x")
		if got := c.Next(t).Message(t); got != sent {
			t.Errorf("got %+v, want %+v", got, sent)
		}
		if e := c.Next(t); e.Name != "ping" {
			t.Errorf("got %+v, want a ping", e)
		}
		again := s.Stream(t, "/subscribe?last=1")
		if got := again.Next(t).Message(t); got != sent {
			t.Errorf("replayed %+v, want %+v", got, sent)
		}
		again.Close()
		if a := s.Do(t, http.MethodHead, "/subscribe", ""); a.Status != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HEAD: %d %v", a.Status, a.Header)
		}
		if a := s.Do(t, http.MethodGet, "/subscribe", "body"); a.Status != http.StatusBadRequest {
			t.Errorf("a stream with a body: %d %s", a.Status, a.Body)
		}
		c.Close()
		chattest.Eventually(t, "the closed streams are forgotten", func() bool { return caddytest.Hub(t, "default").Subscribers == 0 })
	})
}

// A reader that does not read is cut, and holds up nobody.
func TestEachProtocolCutsStalledReaders(t *testing.T) {
	// long enough for the other reader, who is not cut however busy the machine is
	caddytest.EachProtocol(t, "write_timeout 3s\nmax_text 30KiB", func(t *testing.T, s *chattest.Site, major int) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stalled := s.Send(t, ctx, http.MethodGet, "/subscribe", "") // and is not read
		defer stalled.Body.Close()
		good := s.Stream(t, "/subscribe")
		text := strings.Repeat("x", 30<<10)
		deadline := time.Now().Add(chattest.Patience)
		sent := 0
		for caddytest.Hub(t, "default").Subscribers == 2 {
			if time.Now().After(deadline) {
				t.Fatalf("still there after %d messages", sent)
			}
			m := s.Post(t, "/update", text)
			if got := good.Next(t).Message(t); got.ID != m.ID {
				t.Fatalf("the other reader got %s, want %s", got.ID, m.ID)
			}
			if sent++; sent > 600 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		// over HTTP/1.1 any end of the connection is the end of the stream, and
		// over HTTP/3 the server ends it so; what was torn is no event there
		timer := time.AfterFunc(chattest.Patience, cancel)
		if _, err := io.Copy(io.Discard, stalled.Body); err == nil && major == 2 {
			t.Error("a stream that was cut ends as if all were well")
		}
		if !timer.Stop() {
			t.Error("a stream that was cut does not end")
		}
	})
}

// Over HTTP/2 the whole connection may stall, which a stream's deadline does
// not help against.
func TestAStalledConnectionIsClosed(t *testing.T) {
	for _, scheme := range []string{"https", "http"} {
		t.Run(scheme, func(t *testing.T) {
			other := caddytest.ServeOver(t, scheme, "write_timeout 1s\nmax_text 30KiB")
			s, gate := chattest.Gated(t, other.Addr, scheme, true)
			s.Ready(t)
			c := s.Stream(t, "/subscribe")
			c.Until(t, "retry: 10000\n")
			gate.Shut() // nothing is read from the connection any more
			// faster than the connection's buffers grow
			batch := strings.Repeat(`{"text":"`+strings.Repeat("x", 30<<10)+"\"}\n", 100)
			chattest.Eventually(t, "the stalled stream is cut", func() bool {
				if a := other.Do(t, http.MethodPost, "/update", batch, "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
					t.Fatalf("%d %.200s", a.Status, a.Body)
				}
				return caddytest.Hub(t, "default").Subscribers == 0
			})
			gate.Lift()
			if _, err := c.Rest(t); err == io.EOF {
				t.Error("a connection that was closed ends as if all were well")
			}
		})
	}
}
