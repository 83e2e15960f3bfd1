package tests

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// What changes answers stands around the chat, and leaves its streams alone.

// unpacked returns the body of an answer that must be compressed with gzip.
func unpacked(t *testing.T, a chattest.Answer) string {
	t.Helper()
	if got := a.Header.Get("Content-Encoding"); got != "gzip" || !slices.Contains(a.Header.Values("Vary"), "Accept-Encoding") {
		t.Fatalf("status %d, Content-Encoding %q, %v", a.Status, got, a.Header)
	}
	reader, err := gzip.NewReader(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// encode compresses what is no stream, over each protocol, and a page of the
// history that has not changed is not sent again.
func TestEachProtocolCompressesAnswers(t *testing.T) {
	caddytest.EachProtocol(t, "", func(t *testing.T, s *chattest.Site, _ int) {
		long := strings.Repeat("x", 2000)
		first := s.Post(t, "/update", long)
		second := s.Post(t, "/update", long)
		path := "/history?before=" + second.ID
		plain := s.Do(t, http.MethodGet, path, "", "Accept-Encoding: identity")
		if plain.Status != http.StatusOK || !strings.Contains(plain.Body, first.ID) || plain.Header.Get("Content-Encoding") != "" {
			t.Fatalf("not compressed: %d %v", plain.Status, plain.Header)
		}
		for _, encoding := range []string{"gzip", "zstd"} {
			accept := "Accept-Encoding: " + encoding
			a := s.Do(t, http.MethodGet, path, "", accept)
			etag := a.Header.Get("Etag")
			if a.Status != http.StatusOK || a.Header.Get("Content-Encoding") != encoding || !strings.HasSuffix(etag, "-"+encoding+`"`) {
				t.Errorf("%s: %d %v", accept, a.Status, a.Header)
			}
			for _, condition := range []string{etag, plain.Header.Get("Etag"), "*", `"other", ` + etag} {
				a := s.Do(t, http.MethodGet, path, "", accept, "If-None-Match: "+condition)
				if a.Status != http.StatusNotModified || a.Body != "" || a.Header.Get("Content-Encoding") != "" {
					t.Errorf("%s, If-None-Match %s: %d %v", accept, condition, a.Status, a.Header)
				}
			}
			if a := s.Do(t, http.MethodGet, path, "", accept, `If-None-Match: "other"`); a.Status != http.StatusOK || a.Header.Get("Etag") != etag {
				t.Errorf("%s, another page: %d %v", accept, a.Status, a.Header)
			}
			// one that wants it plain has not the same one
			if a := s.Do(t, http.MethodGet, path, "", "Accept-Encoding: identity", "If-None-Match: "+etag); a.Status != http.StatusOK || a.Body != plain.Body {
				t.Errorf("If-None-Match %s without compression: %d", etag, a.Status)
			}
		}
		const accept = "Accept-Encoding: gzip"
		if got := unpacked(t, s.Do(t, http.MethodGet, path, "", accept)); got != plain.Body {
			t.Errorf("the history: %.100s", got)
		}
		if got := unpacked(t, s.Do(t, http.MethodPost, "/update", fmt.Sprintf(`{"text":%q}`, long), accept)); !strings.Contains(got, long) {
			t.Errorf("the answer to a publisher: %.100s", got)
		}
	})
}

// encode compresses errors too, where it is among the error routes: it never
// sees what handlers return.
func TestErrorsAreCompressed(t *testing.T) {
	const encode = "encode gzip {\nminimum_length 10\n}\n"
	s := caddytest.ServeSite(t, "sse_chat\nhandle_errors {\n"+encode+"respond \"{err.message}\"\n}")
	for _, to := range endpoints {
		a := s.Do(t, to.method, to.path+"?room=", to.body, "Accept-Encoding: gzip")
		if a.Status != http.StatusBadRequest {
			t.Errorf("%s %s: %d", to.method, to.path, a.Status)
		}
		if to.method == http.MethodHead {
			continue
		}
		if got := unpacked(t, a); !strings.Contains(got, "a room needs a name") {
			t.Errorf("%s %s: %s", to.method, to.path, got)
		}
	}
}

// A stream that something around it would collect until its end, which never
// comes, ends at once, and what is around it answers.
func TestAStreamThatIsHeldBackEnds(t *testing.T) {
	for name, block := range map[string]string{
		"intercept": "intercept {\nhandle_response {\nrespond \"instead\" 500\n}\n}",
		"templates": "templates {\nmime text/event-stream\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := caddytest.ServeSite(t, block+"\nsse_chat")
			a := s.Do(t, http.MethodGet, "/subscribe", "")
			if strings.Contains(a.Body, ":ok") || name == "intercept" && a.Body != "instead" {
				t.Errorf("%d %q", a.Status, a.Body)
			}
			chattest.Eventually(t, "the stream is counted as failed", func() bool { return caddytest.Hub(t, "default").Counters.StreamsClosed[hub.EndError] == 1 })
			if got := caddytest.Hub(t, "default").Subscribers; got != 0 {
				t.Errorf("%d streams are left", got)
			}
		})
	}
}

// Caddy's own metrics know nothing of parked streams, which operators are told.
func TestCaddysMetricsDoNotCountParkedStreams(t *testing.T) {
	for park, want := range map[string]string{"on": "0", "off": "1"} {
		s := caddytest.ServeSites(t, "metrics\n", "sse_chat {\npark "+park+"\n}")
		c := s.Sites[0].Stream(t, "/subscribe")
		c.Until(t, ":ok\n")
		inFlight := regexp.MustCompile(`(?m)^caddy_http_requests_in_flight\{[^}]*\} (\d+)$`)
		chattest.Eventually(t, want+" requests are in flight", func() bool {
			got := inFlight.FindStringSubmatch(s.Admin.Do(t, http.MethodGet, "/metrics", "").Body)
			return got != nil && got[1] == want
		})
		c.Until(t, s.Sites[0].Post(t, "/update", "x").ID) // and it is there
	}
}

// Over a unix socket, clients are told apart by what the proxy there says, if
// it is believed.
func TestClientsBehindAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.sock")
	err := caddytest.LoadCaddyfile(t, "{"+caddytest.GlobalOptions()+"\nservers {\ntrusted_proxies_unix\n}\n}\nhttp:// {\nbind unix/"+path+"\nsse_chat {\nrate 1 1h\n}\n}")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	s := chattest.At("http://chat.example", &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}})
	defer s.Client.CloseIdleConnections()
	for i, status := range []int{http.StatusOK, http.StatusTooManyRequests} {
		for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
			if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, "X-Forwarded-For: "+client); a.Status != status {
				t.Errorf("message %d of %s: %d %s", i, client, a.Status, a.Body)
			}
		}
	}
}

// encode sends the header of a stream at once, which may be stuck behind what
// its connection does not take, and that is given up like any write.
func TestAStuckHeaderIsCut(t *testing.T) {
	other := caddytest.ServeOver(t, "https", "write_timeout 1s\nmax_text 30KiB")
	s, gate := chattest.Gated(t, other.Addr, "https", true)
	s.Ready(t)
	text := strings.Repeat("x", 30<<10)
	batch := strings.Repeat(`{"text":"`+text+"\"}\n", 200)
	if a := other.Do(t, http.MethodPost, "/update", batch, "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
		t.Fatalf("%d %.200s", a.Status, a.Body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	get := func(path string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Accept-Encoding", "identity")
		if response, err := s.Client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}
	gate.Shut() // nothing is read from the connection any more
	var requests sync.WaitGroup
	defer requests.Wait()
	defer gate.Lift()
	defer cancel()
	for range 4 {
		requests.Go(func() { get("/history?limit=200") })
	}
	awaitFullSocket(t, other.Addr)
	requests.Go(func() { get("/subscribe") })
	chattest.Eventually(t, "the stream has begun", func() bool { return caddytest.Hub(t, "default").Counters.StreamsOpened == 1 })
	chattest.Eventually(t, "the stream is given up", func() bool {
		other.Post(t, "/update", text)
		return caddytest.Hub(t, "default").Subscribers == 0
	})
}

// awaitFullSocket waits until what a server has to send no longer fits into its
// sockets, and stays there.
func awaitFullSocket(t *testing.T, addr string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	connected := regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: [0-9A-F]{8}:%04X \S+ 01 ([0-9A-F]{8}):`, number))
	last, same := "", 0
	chattest.Eventually(t, "the socket is full", func() bool {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		queues := ""
		for _, match := range connected.FindAllStringSubmatch(string(table), -1) {
			queues += match[1] + " "
		}
		if same++; queues != last || !strings.ContainsAny(queues, "123456789ABCDEF") {
			last, same = queues, 0
		}
		return same > 50
	})
}
