package recipes

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// readers is how many clients a proxy serves.
const readers = 20

// Streams through proxies that speak HTTP/2 to the chat are parked, also when they
// share a connection. A client that does not read holds up no other, and after a cut
// all resume.
func TestBehindAProxyOverHTTP2(t *testing.T) {
	haproxy := func(options string) func(t *testing.T, listen, target string) *process {
		return func(t *testing.T, listen, target string) *process {
			return runHAProxy(t, "127.0.0.1:"+listen, target+" ssl verify none sni str(localhost) alpn h2"+options)
		}
	}
	for _, test := range []struct {
		name    string
		start   func(t *testing.T, listen, target string) *process
		shares  bool // whether streams share connections
		readsOn bool // whether it reads a connection on, though one of its clients takes nothing
		large   int  // number of large messages, of which HAProxy passes on four a second
	}{
		{"HAProxy", haproxy(""), false, true, 40},
		{"HAProxy that shares connections", haproxy("\n\thttp-reuse always\n\nglobal\n\tnbthread 1"), true, false, 40},
		{"Caddy", func(t *testing.T, listen, target string) *process {
			url := "http://localhost:" + listen
			return runCaddy(t, url, url+" {\n\treverse_proxy https://localhost:"+target+
				" {\n\t\ttransport http {\n\t\t\tversions 2\n\t\t\ttls_insecure_skip_verify\n\t\t}\n\t}\n}\n").process
		}, true, true, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			target, listen := chattest.FreePort(t), chattest.FreePort(t)
			inner := runCaddy(t, "https://localhost:"+target, "{\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n\nlocalhost:"+target+
				" {\n\ttls internal\n\tsse_chat {\n\t\tmax_text 30KiB\n\t\trate 10000 1s\n\t\tretain 1000\n\t}\n}\n")
			admin := chattest.At("http://"+inner.admin, client)
			network := chattest.NewNetwork(t, "127.0.0.1:"+target, nil)
			url := "http://localhost:" + listen
			test.start(t, listen, network.Addr[strings.LastIndex(network.Addr, ":")+1:]).waitFor(t, url)

			var streams []*chattest.Stream
			for range readers {
				streams = append(streams, subscribe(t, url+"/subscribe"))
			}
			tell(t, url, streams, "hello", 20)
			// HAProxy's windows are too small at first
			chattest.Eventually(t, "all are parked", func() bool {
				return admin.Hub(t, "default").Subscribers == readers && admin.Unparked(t) == 0
			})
			if got := len(network.Links()); test.shares && got > 3 { // the first requests may come before the first connection
				t.Errorf("%d streams have %d connections", readers, got)
			}

			silent := 0
			if test.readsOn {
				silent = 2
			}
			for range silent {
				neverRead(t, "127.0.0.1:"+listen)
			}
			chattest.Eventually(t, "those who do not read have connected", func() bool {
				return admin.Hub(t, "default").Subscribers == readers+silent
			})
			// more than all buffers on the way hold
			ids := tell(t, url, streams, strings.Repeat("x", 29<<10), test.large)

			network.Cut(true)
			chattest.Eventually(t, "the proxy has noticed the cut", func() bool {
				return do(t, http.MethodPost, url+"/update", `{"text":"after the cut","nonce":"once"}`).Status == http.StatusOK
			})
			for i, id := range ids {
				_, _ = streams[i].Rest(t)
				s := subscribe(t, url+"/subscribe", "Last-Event-ID: "+id)
				if line := s.Line(t, "data: "); !strings.Contains(line, "after the cut") {
					t.Errorf("in place of the message after the cut came %.100s", line)
				}
			}
		})
	}
}

// tell publishes messages, and returns the last id of each stream once all have come.
func tell(t *testing.T, url string, streams []*chattest.Stream, message string, count int) (ids []string) {
	t.Helper()
	for i := range count {
		want(t, http.StatusOK, http.MethodPost, url+"/update", text(fmt.Sprint(message, " ", i)))
		ids = nil
		for _, s := range streams {
			ids = append(ids, strings.TrimPrefix(s.Line(t, "id: "), "id: "))
			if line := s.Line(t, "data: "); !strings.Contains(line, fmt.Sprintf(` %d"`, i)) {
				t.Fatalf("in place of message %d came %.100s", i, line)
			}
		}
	}
	return ids
}

// neverRead opens a stream that is not read.
func neverRead(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	if _, err := io.WriteString(conn, "GET /subscribe HTTP/1.1\r\nHost: "+strings.Replace(addr, "127.0.0.1", "localhost", 1)+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}
