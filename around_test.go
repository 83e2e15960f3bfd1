package ssechat

import (
	"bytes"
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
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
)

// What changes answers stands around the chat, and leaves its streams alone.

// unpacked returns the body of an answer that must be compressed with gzip.
func (a answer) unpacked(t *testing.T) string {
	t.Helper()
	if got := a.header.Get("Content-Encoding"); got != "gzip" || !slices.Contains(a.header.Values("Vary"), "Accept-Encoding") {
		t.Fatalf("status %d, Content-Encoding %q, %v", a.status, got, a.header)
	}
	reader, err := gzip.NewReader(strings.NewReader(a.body))
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
	eachProtocol(t, "", func(t *testing.T, s *site, _ int) {
		long := strings.Repeat("x", 2000)
		first := s.post(t, "/update", long)
		second := s.post(t, "/update", long)
		path := "/history?before=" + second.ID
		plain := s.do(t, http.MethodGet, path, "", "Accept-Encoding: identity")
		if plain.status != http.StatusOK || !strings.Contains(plain.body, first.ID) || plain.header.Get("Content-Encoding") != "" {
			t.Fatalf("not compressed: %d %v", plain.status, plain.header)
		}
		for _, encoding := range []string{"gzip", "zstd"} {
			accept := "Accept-Encoding: " + encoding
			a := s.do(t, http.MethodGet, path, "", accept)
			etag := a.header.Get("Etag")
			if a.status != http.StatusOK || a.header.Get("Content-Encoding") != encoding || !strings.HasSuffix(etag, "-"+encoding+`"`) {
				t.Errorf("%s: %d %v", accept, a.status, a.header)
			}
			for _, condition := range []string{etag, plain.header.Get("Etag"), "*", `"other", ` + etag} {
				a := s.do(t, http.MethodGet, path, "", accept, "If-None-Match: "+condition)
				if a.status != http.StatusNotModified || a.body != "" || a.header.Get("Content-Encoding") != "" {
					t.Errorf("%s, If-None-Match %s: %d %v", accept, condition, a.status, a.header)
				}
			}
			if a := s.do(t, http.MethodGet, path, "", accept, `If-None-Match: "other"`); a.status != http.StatusOK || a.header.Get("Etag") != etag {
				t.Errorf("%s, another page: %d %v", accept, a.status, a.header)
			}
			// one that wants it plain has not the same one
			if a := s.do(t, http.MethodGet, path, "", "Accept-Encoding: identity", "If-None-Match: "+etag); a.status != http.StatusOK || a.body != plain.body {
				t.Errorf("If-None-Match %s without compression: %d", etag, a.status)
			}
		}
		const accept = "Accept-Encoding: gzip"
		if got := s.do(t, http.MethodGet, path, "", accept).unpacked(t); got != plain.body {
			t.Errorf("the history: %.100s", got)
		}
		if got := s.do(t, http.MethodPost, "/update", fmt.Sprintf(`{"text":%q}`, long), accept).unpacked(t); !strings.Contains(got, long) {
			t.Errorf("the answer to a publisher: %.100s", got)
		}
	})
}

// encode compresses errors too, where it is among the error routes: it never
// sees what handlers return.
func TestErrorsAreCompressed(t *testing.T) {
	const encode = "encode gzip {\nminimum_length 10\n}\n"
	s := serveSite(t, "sse_chat\nhandle_errors {\n"+encode+"respond \"{err.message}\"\n}")
	for _, to := range endpoints {
		a := s.do(t, to.method, to.path+"?room=", to.body, "Accept-Encoding: gzip")
		if a.status != http.StatusBadRequest {
			t.Errorf("%s %s: %d", to.method, to.path, a.status)
		}
		if to.method == http.MethodHead {
			continue
		}
		if got := a.unpacked(t); !strings.Contains(got, "a room needs a name") {
			t.Errorf("%s %s: %s", to.method, to.path, got)
		}
	}
}

// Nothing that stands around a stream holds it back or changes it, and nothing
// writes to its connection when it is parked.
func TestWhatStandsAroundAStream(t *testing.T) {
	for _, test := range []struct{ name, block string }{
		{"encode", "encode"},
		{"encode for streams", "encode {\nminimum_length 1\nmatch {\nheader Content-Type text/event-stream*\n}\n}"},
		{"templates", "templates"},
		{"templates for JSON", "templates {\nmime application/json\n}"},
		{"push", "push /style.css"},
		{"intercept of errors", "intercept {\n@error status 4xx 5xx\nhandle_response @error {\nrespond sorry\n}\nreplace_status @error 200\n}"},
		{"all", "encode\npush\ntemplates\nintercept {\n@error status 5xx\nhandle_response @error {\nrespond sorry\n}\n}\nlog {\noutput discard\n}\nheader >X-Late 1"},
	} {
		for _, park := range []string{"on", "off"} {
			t.Run(test.name+", park "+park, func(t *testing.T) {
				s := serveSite(t, test.block+"\nsse_chat {\npark "+park+"\n}")
				conn := dial(t, s)
				defer conn.Close()
				fmt.Fprintf(conn, "GET /subscribe HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip, zstd\r\n\r\n", s.addr)
				if park == "on" {
					waitParked(t, hubOf(t, "default"), 1)
				}
				got := readUntil(t, conn, "retry: 10000\n")
				for _, unwanted := range []string{"Content-Encoding", "Accept-Encoding"} {
					if strings.Contains(got, unwanted) {
						t.Errorf("the header is changed: %q", got)
					}
				}
				m := s.post(t, "/update", "x")
				want := "id: " + m.ID + "\ndata: "
				if got := readUntil(t, conn, "\n\n"); !strings.Contains(got, want) || strings.Count(got, "\n\n") != 1 {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// readUntil reads from a connection until something has come.
func readUntil(t *testing.T, conn net.Conn, what string) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var got bytes.Buffer
	buf := make([]byte, 4<<10)
	for !strings.Contains(got.String(), what) {
		n, err := conn.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v before %q in %q", err, what, got.String())
		}
	}
	return got.String()
}

// A stream that something around it would collect until its end, which never
// comes, ends at once, and what is around it answers.
func TestAStreamThatIsHeldBackEnds(t *testing.T) {
	for name, block := range map[string]string{
		"intercept": "intercept {\nhandle_response {\nrespond \"instead\" 500\n}\n}",
		"templates": "templates {\nmime text/event-stream\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := serveSite(t, block+"\nsse_chat")
			a := s.do(t, http.MethodGet, "/subscribe", "")
			if strings.Contains(a.body, ":ok") || name == "intercept" && a.body != "instead" {
				t.Errorf("%d %q", a.status, a.body)
			}
			b := hubOf(t, "default")
			eventually(t, "the stream is counted as failed", func() bool { return b.Counts.Closed.ByReason()[hub.EndError] == 1 })
			if got := b.Counts.Subscribers.Load(); got != 0 {
				t.Errorf("%d streams are left", got)
			}
		})
	}
}

// Caddy's own metrics know nothing of parked streams, which operators are told.
func TestCaddysMetricsDoNotCountParkedStreams(t *testing.T) {
	for park, want := range map[string]string{"on": "0", "off": "1"} {
		s := serveSites(t, "metrics\n", "sse_chat {\npark "+park+"\n}")
		s.sites[0].stream(t, "/subscribe").text(t, ":ok\n")
		if park == "on" {
			waitParked(t, hubOf(t, "default"), 1)
		}
		inFlight := regexp.MustCompile(`(?m)^caddy_http_requests_in_flight\{[^}]*\} (\d+)$`)
		eventually(t, want+" requests are in flight", func() bool {
			got := inFlight.FindStringSubmatch(s.admin.do(t, http.MethodGet, "/metrics", "").body)
			return got != nil && got[1] == want
		})
	}
}

// Over a unix socket, clients are told apart by what the proxy there says, if
// it is believed.
func TestClientsBehindAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.sock")
	err := loadCaddyfile(t, "{"+globalOptions+"\nservers {\ntrusted_proxies_unix\n}\n}\nhttp:// {\nbind unix/"+path+"\nsse_chat {\nrate 1 1h\n}\n}")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	s := &site{url: "http://chat.example", client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
	defer s.client.CloseIdleConnections()
	for i, status := range []int{http.StatusOK, http.StatusTooManyRequests} {
		for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
			if a := s.do(t, http.MethodPost, "/update", `{"text":"x"}`, "X-Forwarded-For: "+client); a.status != status {
				t.Errorf("message %d of %s: %d %s", i, client, a.status, a.body)
			}
		}
	}
}

// encode sends the header of a stream at once, which may be stuck behind what
// its connection does not take, and that is given up like any write.
func TestAStuckHeaderIsCut(t *testing.T) {
	addr := freeAddr(t)
	if err := loadCaddyfile(t, caddyfileFor("https", addr, "write_timeout 1s\nmax_text 30KiB")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	s, gate := gatedSite(t, addr, "https", true)
	s.ready(t)
	b := hubOf(t, "default")
	for range 200 {
		hubtest.Publish(t, b.Hub, "lobby", strings.Repeat("x", 30<<10))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	get := func(path string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Accept-Encoding", "identity")
		if response, err := s.client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}
	gate.shut() // nothing is read from the connection any more
	var requests sync.WaitGroup
	defer requests.Wait()
	defer gate.lift()
	defer cancel()
	for range 4 {
		requests.Go(func() { get("/history?limit=200") })
	}
	awaitFullSocket(t, addr)
	requests.Go(func() { get("/subscribe") })
	eventually(t, "the stream has begun", func() bool { return b.Counts.Opened.Load() == 1 })
	eventually(t, "the stream is given up", func() bool {
		hubtest.Publish(t, b.Hub, "lobby", strings.Repeat("x", 30<<10))
		return b.Counts.Subscribers.Load() == 0
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
	eventually(t, "the socket is full", func() bool {
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
