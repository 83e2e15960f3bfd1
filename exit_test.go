package ssechat

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// process is a site that a Caddy of its own serves.
type process struct {
	*site
	caddy *caddyproc.Process
}

func start(t *testing.T, url, block string) *process {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: insecure(), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &process{
		site:  &site{addr: strings.TrimPrefix(url, "http://"), url: url, client: &http.Client{Transport: transport}},
		caddy: caddyproc.Start(t, url, block),
	}
}

// An exit tells readers when to come back, and does not wait for those who
// have stalled, however long they may at other times.
func TestExit(t *testing.T) {
	for _, test := range []struct {
		name, scheme string
		h2           bool
	}{{"HTTP/1.1", "http", false}, {notParked, "http", false}, {"HTTP/1.1 over TLS", "https", false}, {"HTTP/2", "https", true}} {
		t.Run(test.name, func(t *testing.T) {
			scheme := test.scheme
			addr := freeAddr(t)
			_, port, _ := net.SplitHostPort(addr)
			url := "http://" + addr
			if scheme == "https" {
				url = "https://localhost:" + port
			}
			park := "on"
			if test.name == notParked {
				park = "off"
			}
			p := start(t, url, "sse_chat {\nwrite_timeout 1h\nmax_text 30KiB\npark "+park+"\n}")
			plain, named := p.stream(t, "/subscribe"), p.stream(t, "/subscribe?events=1")
			stall(t, p, addr, scheme, test.h2)
			d := p.caddy.Terminate(t)
			if d > 10*time.Second {
				t.Errorf("the exit took %s", d)
			}
			t.Logf("the exit took %s", d)
			for c, form := range map[*client]string{
				plain: `\nretry: (\d+)\n$`,
				named: `\nretry: (\d+)\nevent: bye\ndata: {"reason":"exit","retry_ms":\d+}\n\n$`,
			} {
				rest, err := c.rest(t)
				match := regexp.MustCompile(form).FindStringSubmatch(rest)
				if match == nil {
					t.Fatalf("the stream ends with %.300q, %v", rest[max(0, len(rest)-300):], err)
				}
				if ms, _ := strconv.Atoi(match[1]); ms < 1000 || ms > 10000 {
					t.Errorf("retry after %d ms, want 1 to 10 s", ms)
				}
			}
		})
	}
}

// Over HTTP/3 there is no connection to close, only streams to end.
func TestExitOverHTTP3(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddr(t))
	p := start(t, "https://localhost:"+port, "sse_chat {\nwrite_timeout 1h\nmax_text 30KiB\n}")
	transport := &http3.Transport{TLSClientConfig: insecure(), QUICConfig: &quic.Config{MaxStreamReceiveWindow: 64 << 10, MaxConnectionReceiveWindow: 128 << 10}}
	defer transport.Close()
	s := &site{addr: p.addr, url: p.url, client: &http.Client{Transport: transport}}
	c := s.stream(t, "/subscribe")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stalled := s.send(t, ctx, http.MethodGet, "/subscribe", "")
	defer stalled.Body.Close()
	for range 50 {
		p.post(t, "/update", strings.Repeat("x", 30<<10))
	}
	if d := p.caddy.Terminate(t); d > 10*time.Second {
		t.Errorf("the exit took %s", d)
	}
	if rest, err := c.rest(t); !regexp.MustCompile(`\nretry: \d+\n$`).MatchString(rest) {
		t.Errorf("the stream ends with %.300q, %v", rest[max(0, len(rest)-300):], err)
	}
}

// What a memory hub has forgotten with its process, it says.
func TestARestartIsToldAsAGap(t *testing.T) {
	addr := freeAddr(t)
	first := start(t, "http://"+addr, "sse_chat")
	id := first.post(t, "/update", "before").ID
	first.caddy.Kill(t)
	second := start(t, "http://"+addr, "sse_chat")
	after := second.post(t, "/update", "after")
	c := second.stream(t, "/subscribe", "Last-Event-ID: "+id)
	if got, want := c.next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":"unknown","oldest":%q}`, after.ID)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := c.next(t).Message(t); got != after {
		t.Errorf("got %+v, want %+v", got, after)
	}
}

// stall opens a stream that is not read, and publishes until it stalls.
func stall(t *testing.T, p *process, addr, scheme string, h2 bool) {
	t.Helper()
	s, gate := gatedSite(t, addr, scheme, h2)
	c := s.stream(t, "/subscribe")
	c.text(t, "retry: 10000\n")
	gate.shut()
	text := strings.Repeat("x", 30<<10)
	for range 400 {
		p.post(t, "/update", text)
	}
}
