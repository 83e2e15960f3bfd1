package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// However the data is split, a client keeps what it needs to come back.
func TestAClientReadsItsStreamWhereverItIsCut(t *testing.T) {
	body := ":ok\nretry: 700\nevent: start\nid: 4\ndata: 4\n\n" +
		"id: 5\r\ndata: one\r\n\r\n" + "data: two\ndata:lines\n\n" + "event: gap\ndata: {}\n\n" + "id: 6\ndata: never ended"
	var chunked strings.Builder
	for part := range slices.Chunk([]byte(body), 13) {
		fmt.Fprintf(&chunked, "%x;ext\r\n%s\r\n", len(part), part)
	}
	for name, answer := range map[string]string{
		"whole":   "HTTP/1.1 200 OK\r\n\r\n" + body,
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked.String(),
		"HTTP/2":  string(http2Answer(t, "200", body)),
	} {
		for size := 1; size <= len(answer); size++ {
			c, over := new(client), protocol.HTTP
			if name == "HTTP/2" {
				over = protocol.H2
			}
			c.begin(nil, over)
			var got []string
			for piece := range slices.Chunk([]byte(answer), size) {
				err := c.feed(bytes.Clone(piece), func(data []byte) { got = append(got, string(data)) })
				if err != nil {
					t.Fatalf("%s in pieces of %d bytes: %v", name, size, err)
				}
			}
			if want := []string{"one", "two\nlines"}; !slices.Equal(got, want) || !c.opened {
				t.Fatalf("%s in pieces of %d bytes: %q, opened: %t; want %q", name, size, got, c.opened, want)
			}
			if c.events.lastID != "5" || c.events.retry != 700*time.Millisecond {
				t.Fatalf("%s in pieces of %d bytes: id %q, retry %s; want 5 and 700ms", name, size, c.events.lastID, c.events.retry)
			}
		}
	}
}

func TestAClientNoticesEnds(t *testing.T) {
	var frame bytes.Buffer
	_ = http2.NewFramer(&frame, nil).WriteData(1, true, []byte("retry: 9\n"))
	var away, failure bytes.Buffer
	_ = http2.NewFramer(&away, nil).WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
	_ = http2.NewFramer(&failure, nil).WriteGoAway(1, http2.ErrCodeProtocol, nil)
	for name, test := range map[string]struct {
		over   protocol.Name
		answer string
		want   error
	}{
		"the last chunk":   {protocol.HTTP, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nretry: 9\n\r\n0\r\n\r\n", errStreamEnd},
		"the last byte":    {protocol.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nretry: 9\n", errStreamEnd},
		"the last frame":   {protocol.H2, string(http2Answer(t, "200", "")) + frame.String(), errStreamEnd},
		"refused":          {protocol.HTTP, "HTTP/1.1 204 No Content\r\n\r\n", errRefused},
		"refused (HTTP/2)": {protocol.H2, string(http2Answer(t, "204", "")), errRefused},
	} {
		c := new(client)
		c.begin(nil, test.over)
		if err := c.feed([]byte(test.answer), nil); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if errors.Is(test.want, errStreamEnd) && c.events.retry != 9*time.Millisecond {
			t.Errorf("%s: the delay before the end was not taken", name)
		}
	}
	c := new(client)
	c.begin(nil, protocol.H2)
	if err := c.feed(away.Bytes(), nil); err != nil {
		t.Errorf("a server that only takes no new streams: %v", err)
	}
	if err := c.feed(failure.Bytes(), nil); err == nil {
		t.Error("a failed connection was taken for an open one")
	}
}

func TestComeback(t *testing.T) {
	for _, test := range []struct{ retry, want time.Duration }{
		{10 * time.Second, 10 * time.Second},
		{3 * time.Second, 3 * time.Second},
		{2 * time.Second, 2 * time.Second},
		{1500 * time.Millisecond, 3 * time.Second}, // the first attempt is in the outage
		{time.Second, 2 * time.Second},
		{0, 2 * time.Second},
	} {
		now := time.Now()
		if got := comeback(now, 2*time.Second, test.retry).Sub(now); got != test.want {
			t.Errorf("with a delay of %s it comes back after %s, want %s", test.retry, got, test.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	var seen, all numbers
	for _, n := range []int{1, 63, 64, 200} {
		all.add(n)
	}
	if !seen.add(64) || seen.add(64) || !seen.add(7) {
		t.Error("a number is new once")
	}
	if got := seen.missing(all); got != 3 {
		t.Errorf("%d are missing, want 3", got)
	}
}

func TestTextsAreFound(t *testing.T) {
	now := time.Unix(1700000000, 123)
	text := AppendText(nil, 42, 100, now)
	number, sent, ok := parseText(fmt.Appendf(nil, `{"text":"%s","id":"7"}`, text))
	if len(text) != 100 || number != 42 || !sent.Equal(now) || !ok {
		t.Errorf("%d bytes, number %d, sent %s, %t", len(text), number, sent, ok)
	}
	for _, data := range []string{"", "sent@", `{"text":"hello"}`, "sent@1700000000000000123", "sent@170000000000000012x#1#"} {
		if _, _, ok := parseText([]byte(data)); ok {
			t.Errorf("a message was found in %q", data)
		}
	}
}

// Clients whose streams end come back after the delay they were given, with the
// last id, and a repeated message counts once.
func TestClientsComeBack(t *testing.T) {
	var resumed atomic.Int64
	begin := time.Now()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "retry: 30\nid: 1\ndata: %s\n\n", AppendText(nil, 1, 40, begin))
		if r.Header.Get("Last-Event-ID") == "" {
			return
		}
		resumed.Add(1)
		fmt.Fprintf(w, "id: 2\ndata: %s\n\n", AppendText(nil, 2, 40, begin))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	const n = 20
	c, err := ConnectClients(Target{Addr: server.Listener.Addr().String(), Over: protocol.HTTP, Path: func(int) string { return "/" }}, n)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Settle(10 * time.Second)
	got := c.Tally([]int{1, 2, 3})
	if resumed.Load() != n || c.Open() != n || got.Wanted != 3*n || got.Lost != n || got.Doubled != n || len(got.Replayed) != n {
		t.Errorf("%d resumed, %d open, %d wanted, %d lost, %d doubled, %d replayed; want %d of each but %d wanted",
			resumed.Load(), c.Open(), got.Wanted, got.Lost, got.Doubled, len(got.Replayed), n, 3*n)
	}
	back := c.Since(begin)
	if back.Ended != n || back.Never != 0 || back.Share(0) < 30*time.Millisecond {
		t.Errorf("%d ended, %d never came back, the first after %s; want %d, 0 and at least 30ms", back.Ended, back.Never, back.Share(0), n)
	}

	c.Cut(100*time.Millisecond, 50*time.Millisecond)
	for begin := time.Now(); resumed.Load() < 3*n; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("clients that were cut off came back %d times, want %d", resumed.Load(), 3*n)
		}
	}
	c.StopCuts()
	c.Settle(10 * time.Second)
	if open := c.Open(); open != n {
		t.Errorf("%d are open after the cuts, want %d", open, n)
	}
}
