package recipes

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// idle is longer than any of the intermediaries keeps an idle connection.
const idle = 90 * time.Second

// front is an intermediary and the streams through it.
type front struct {
	name    string
	http2   bool // from clients; to the chat it is always HTTP/1
	start   func(listen string) *process
	client  *http.Client
	url     string
	room    string
	streams []*chattest.Stream
}

// Intermediaries with Debian's defaults and only the chat's address buffer nothing
// and never end an idle stream. Varnish must be set to pipe.
func TestThroughIntermediaries(t *testing.T) {
	target := chattest.FreePort(t)
	inner := runCaddy(t, "http://127.0.0.1:"+target, ":"+target+" {\n\tsse_chat\n}\n")
	pair := chattest.Certificate(t)
	caddy := func(scheme string) func(listen string) *process {
		return func(listen string) *process {
			url := scheme + "://localhost:" + listen
			return runCaddy(t, url, url+" {\n\treverse_proxy 127.0.0.1:"+target+"\n}\n").process
		}
	}
	fronts := []*front{
		{name: "nginx", start: func(listen string) *process {
			return runNginx(t, "server {\nlisten 127.0.0.1:"+listen+";\nlocation / {\nproxy_pass http://127.0.0.1:"+target+";\n}\n}\n")
		}},
		{name: "HAProxy", start: func(listen string) *process { return runHAProxy(t, "127.0.0.1:"+listen, target) }},
		{name: "Varnish", start: func(listen string) *process { return runVarnish(t, listen, target) }},
		{name: "Caddy", start: caddy("http")},
		{name: "nginx from HTTP/2", http2: true, start: func(listen string) *process {
			// to the chat it speaks HTTP/1.0, unless it is told to speak 1.1
			certificate := "\nssl_certificate " + pair + ";\nssl_certificate_key " + pair + ";"
			return runNginx(t, recipe(t, "nginx.conf", "listen 80;", "listen 127.0.0.1:"+listen+" ssl http2;"+certificate, "127.0.0.1:3000", "127.0.0.1:"+target))
		}},
		{name: "HAProxy from HTTP/2", http2: true, start: func(listen string) *process {
			return runHAProxy(t, "127.0.0.1:"+listen+" ssl crt "+pair+" alpn h2,http/1.1", target)
		}},
		{name: "Caddy from HTTP/2", http2: true, start: caddy("https")},
	}
	streams := 0
	for i, f := range fronts {
		t.Log(f.name)
		f.open(t, fmt.Sprint("front-", i))
		streams += len(f.streams)
	}
	time.Sleep(idle)
	for _, f := range fronts {
		t.Log(f.name + ", after a while")
		f.goesOn(t)
	}
	// each stream is also a separate one at the chat
	a := do(t, http.MethodGet, "http://"+inner.admin+"/sse_chat/hubs", "")
	var hubs []struct {
		Subscribers int
		Counters    struct {
			Opened int `json:"streams_opened"`
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &hubs); err != nil || len(hubs) != 1 {
		t.Fatal(a.Body, err)
	}
	if open, opened := hubs[0].Subscribers, hubs[0].Counters.Opened; open != streams || opened != streams {
		t.Errorf("%d streams are open of %d that were opened, want %d of %d", open, opened, streams, streams)
	}
}

// open starts the front and opens streams through it, which must get everything
// immediately.
func (f *front) open(t *testing.T, room string) {
	t.Helper()
	listen := chattest.FreePort(t)
	f.room, f.client, f.url = room, client, "http://localhost:"+listen
	if f.http2 {
		f.client, f.url = oneConnection(t), "https://localhost:"+listen
	}
	f.start(listen).waitFor(t, f.url)
	f.post(t, "first")
	var id string
	inTime(t, "the first event", func(int) {
		s := f.subscribe(t, "&last=1")
		id = strings.TrimPrefix(s.Line(t, "id: "), "id: ")
		s.Line(t, `"first"`)
	})
	inTime(t, "a message", func(i int) {
		message := fmt.Sprint("message ", i)
		f.post(t, message)
		for _, s := range f.streams {
			s.Line(t, message)
		}
	})
	resumed := f.subscribe(t, "", "Last-Event-ID: "+id)
	for i := range attempts {
		if line := resumed.Line(t, "data: "); !strings.Contains(line, fmt.Sprint("message ", i)) {
			t.Errorf("in place of message %d after the id came %s", i, line)
		}
	}
}

func (f *front) post(t *testing.T, message string) {
	t.Helper()
	if a := doWith(t, f.client, http.MethodPost, f.url+"/update?room="+f.room, text(message)); a.Status != http.StatusOK {
		t.Fatalf("publishing %q: %d %s", message, a.Status, a.Body)
	}
}

func (f *front) subscribe(t *testing.T, query string, header ...string) *chattest.Stream {
	t.Helper()
	s := subscribeWith(t, f.client, f.url+"/subscribe?room="+f.room+query, header...)
	if proto := s.Response.ProtoMajor; (proto == 2) != f.http2 {
		t.Errorf("the stream is over HTTP/%d", proto)
	}
	f.streams = append(f.streams, s)
	return s
}

// goesOn expects that all streams are open, got only heartbeats since the last
// message, and get the next one.
func (f *front) goesOn(t *testing.T) {
	t.Helper()
	f.post(t, "after a while")
	for _, s := range f.streams {
		heartbeats := 0
		for done := false; !done; {
			switch line := s.Line(t, ""); {
			case line == ":":
				heartbeats++
			case strings.Contains(line, "after a while"):
				done = true
			case strings.HasPrefix(line, "data:"):
				t.Errorf("while nobody wrote came %s", line)
			}
		}
		// one comes 16.5 s after another, or earlier
		if heartbeats < int(idle/(17*time.Second)) {
			t.Errorf("%d heartbeats in %s", heartbeats, idle)
		}
	}
}

// attempts is how often to try for a delivery within a second: a slow machine
// fails some attempts, a buffering proxy fails all.
const attempts = 3

func inTime(t *testing.T, what string, do func(i int)) {
	t.Helper()
	var took []time.Duration
	for i := range attempts {
		begin := time.Now()
		do(i)
		took = append(took, time.Since(begin))
	}
	for _, d := range took {
		if d < time.Second {
			return
		}
	}
	t.Errorf("%s took %s", what, took)
}

// oneConnection returns a client that speaks HTTP/2 over a single connection until
// the test ends.
func oneConnection(t *testing.T) *http.Client {
	t.Helper()
	var dials atomic.Int32
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificates are the tests' own
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if n := dials.Load(); n != 1 {
			t.Errorf("it took %d connections", n)
		}
	})
	return &http.Client{Transport: transport}
}
