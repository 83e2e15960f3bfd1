package ssechat

import (
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// updates are what a client does with its keys: it changes those of both directions or
// only its own, and several times in a row.
var updates = []bool{true, false, true, true, false, false}

// A parked stream goes on with new keys.
func TestAParkedStreamOutlivesNewKeys(t *testing.T) {
	s := caddytest.ServeOver(t, "https", "")
	c := chattest.DialOpenSSL(t, s.Addr, "http/1.1")
	got := make(chan string)
	go func() {
		defer close(got)
		for buf := make([]byte, 4<<10); ; {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got <- string(buf[:n])
		}
	}()
	all := ""
	await := func(what string) {
		t.Helper()
		for !strings.Contains(all, what) {
			more, ok := <-got
			if !ok {
				t.Fatalf("no %q in %q", what, all)
			}
			all += more
		}
	}
	if _, err := io.WriteString(c, "GET /subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	await("retry: 10000")
	waitParked(t, hubOf(t, "default"), 1)
	for _, both := range updates {
		c.UpdateKeys(t, both)
		await("id: " + s.Post(t, "/update", "with new keys").ID)
	}
	waitParked(t, hubOf(t, "default"), 1)
}

// Over HTTP/2 all streams go on, requests are answered, and a session of the server
// that sleeps is not woken.
func TestParkedStreamsOfAConnectionOutliveNewKeys(t *testing.T) {
	s := caddytest.ServeOver(t, "https", "")
	keys := chattest.DialOpenSSL(t, s.Addr, "h2")
	c := chattest.NewHTTP2(t, keys, chattest.LargeWindows)
	streams := []uint32{1, 3}
	for _, id := range streams {
		c.Get(id, "/subscribe")
		c.Until(t, id, "retry: ")
	}
	waitParked(t, hubOf(t, "default"), len(streams))
	sessions := func() int { return chattest.GoroutinesIn("http2.(*serverConn).serve") }
	hear := func(id string) {
		t.Helper()
		for _, stream := range streams {
			c.Until(t, stream, id)
		}
	}
	next := uint32(5)
	say := func() {
		t.Helper()
		c.Request("POST", next, false, "/update")
		c.Write(func(w *http2.Framer) error {
			return w.WriteData(next, true, []byte(`{"text":"from the connection itself"}`))
		})
		end := c.Ended(t, next)
		if end.Status != "200" {
			t.Fatalf("the request ends with %+v, %v", end, c.Err())
		}
		_, id, _ := strings.Cut(end.Body, `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		hear(id)
		next += 2
	}
	awake := func() {
		t.Helper()
		for _, both := range updates {
			keys.UpdateKeys(t, both)
			hear(s.Post(t, "/update", "with new keys").ID)
			say()
		}
	}
	awake()
	chattest.Eventually(t, "the session sleeps", func() bool { return sessions() == 0 })
	for _, both := range updates {
		keys.UpdateKeys(t, both)
		hear(s.Post(t, "/update", "with new keys").ID)
	}
	if n := sessions(); n != 0 {
		t.Errorf("%d sessions were woken", n)
	}
	awake()
	waitParked(t, hubOf(t, "default"), len(streams))
}
