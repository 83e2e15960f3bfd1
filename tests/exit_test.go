package tests

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

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// An exit tells readers when to come back, and does not wait for those who
// have stalled, however long they may at other times.
func TestExit(t *testing.T) {
	for _, test := range []struct {
		name, scheme string
		h2           bool
	}{{"HTTP/1.1", "http", false}, {caddytest.NotParked, "http", false}, {"HTTP/1.1 over TLS", "https", false}, {"HTTP/2", "https", true}} {
		t.Run(test.name, func(t *testing.T) {
			scheme := test.scheme
			addr := chattest.FreeAddr(t)
			_, port, _ := net.SplitHostPort(addr)
			url := "http://" + addr
			if scheme == "https" {
				url = "https://localhost:" + port
			}
			park := "on"
			if test.name == caddytest.NotParked {
				park = "off"
			}
			p := caddytest.Start(t, url, "sse_chat {\nwrite_timeout 1h\nmax_text 30KiB\npark "+park+"\n}")
			plain, named := p.Stream(t, "/subscribe"), p.Stream(t, "/subscribe?events=1")
			stall(t, p, addr, scheme, test.h2)
			d := p.Terminate(t)
			if d > 10*time.Second {
				t.Errorf("the exit took %s", d)
			}
			t.Logf("the exit took %s", d)
			for c, form := range map[*chattest.Stream]string{
				plain: `\nretry: (\d+)\n$`,
				named: `\nretry: (\d+)\nevent: bye\ndata: {"reason":"exit","retry_ms":\d+}\n\n$`,
			} {
				rest, err := c.Rest(t)
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
	_, port, _ := net.SplitHostPort(chattest.FreeAddr(t))
	p := caddytest.Start(t, "https://localhost:"+port, "sse_chat {\nwrite_timeout 1h\nmax_text 30KiB\n}")
	transport := &http3.Transport{TLSClientConfig: chattest.InsecureTLS(), QUICConfig: &quic.Config{MaxStreamReceiveWindow: 64 << 10, MaxConnectionReceiveWindow: 128 << 10}}
	defer transport.Close()
	s := chattest.At(p.URL, &http.Client{Transport: transport})
	c := s.Stream(t, "/subscribe")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stalled := s.Send(t, ctx, http.MethodGet, "/subscribe", "")
	defer stalled.Body.Close()
	for range 50 {
		p.Post(t, "/update", strings.Repeat("x", 30<<10))
	}
	if d := p.Terminate(t); d > 10*time.Second {
		t.Errorf("the exit took %s", d)
	}
	if rest, err := c.Rest(t); !regexp.MustCompile(`\nretry: \d+\n$`).MatchString(rest) {
		t.Errorf("the stream ends with %.300q, %v", rest[max(0, len(rest)-300):], err)
	}
}

// What a memory hub has forgotten with its process, it says.
func TestARestartIsToldAsAGap(t *testing.T) {
	addr := chattest.FreeAddr(t)
	first := caddytest.Start(t, "http://"+addr, "sse_chat")
	id := first.Post(t, "/update", "before").ID
	first.Kill(t)
	second := caddytest.Start(t, "http://"+addr, "sse_chat")
	after := second.Post(t, "/update", "after")
	c := second.Stream(t, "/subscribe", "Last-Event-ID: "+id)
	if got, want := c.Next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":"unknown","oldest":%q}`, after.ID)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := c.Next(t).Message(t); got != after {
		t.Errorf("got %+v, want %+v", got, after)
	}
}

// stall opens a stream that is not read, and publishes until it stalls.
func stall(t *testing.T, p *caddytest.Process, addr, scheme string, h2 bool) {
	t.Helper()
	s, gate := chattest.Gated(t, addr, scheme, h2)
	c := s.Stream(t, "/subscribe")
	c.Until(t, "retry: 10000\n")
	gate.Shut()
	text := strings.Repeat("x", 30<<10)
	for range 400 {
		p.Post(t, "/update", text)
	}
}
