package ssechat

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
)

// protocols are the ways to a site, each with all of Caddy's middleware on
// that wraps responses: access logs, metrics, encode, push, intercept and
// templates.
var protocols = []struct {
	name      string
	scheme    string
	transport func(*testing.T) http.RoundTripper
	major     int
}{
	{"HTTP/1.1", "http", func(*testing.T) http.RoundTripper { return &http.Transport{} }, 1},
	{notParked, "http", func(*testing.T) http.RoundTripper { return &http.Transport{} }, 1},
	{"HTTP/1.1 over TLS", "https", func(*testing.T) http.RoundTripper {
		return &http.Transport{TLSClientConfig: insecure(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	}, 1},
	{"HTTP/2", "https", func(*testing.T) http.RoundTripper {
		return &http.Transport{TLSClientConfig: insecure(), Protocols: only2()}
	}, 2},
	{"HTTP/2 without TLS", "http", func(*testing.T) http.RoundTripper { return &http.Transport{Protocols: only2()} }, 2},
	{"HTTP/3", "https", func(t *testing.T) http.RoundTripper {
		transport := &http3.Transport{TLSClientConfig: insecure(), QUICConfig: &quic.Config{InitialStreamReceiveWindow: 32 << 10, MaxStreamReceiveWindow: 64 << 10}}
		t.Cleanup(func() { transport.Close() })
		return transport
	}, 3},
}

// notParked is HTTP/1.1 with a handler that writes for each stream.
const notParked = "HTTP/1.1 not parked"

func only2() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

func insecure() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} //nolint:gosec // the certificate is the test's own
}

// caddyfileFor is a site with everything on.
func caddyfileFor(scheme, addr, options string) string {
	_, port, _ := net.SplitHostPort(addr)
	host := "localhost"
	if scheme == "http" {
		host = "127.0.0.1"
	}
	return fmt.Sprintf(`{
		%s
		metrics
		servers {
			protocols h1 h2 h2c h3
		}
	}
	%s://%s:%s {
		bind 127.0.0.1
		log {
			output discard
		}
		encode
		push
		intercept {
			@broken status 5xx
			handle_response @broken {
				respond "broken"
			}
		}
		templates
		route {
			sse_chat {
				%s
			}
			respond "next"
		}
	}`, globalOptions, scheme, host, port, options)
}

func eachProtocol(t *testing.T, options string, run func(t *testing.T, s *site, major int)) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			addr := freeAddr(t)
			options := options
			if p.name == notParked {
				options += "\npark off"
			}
			if err := loadCaddyfile(t, caddyfileFor(p.scheme, addr, options)); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := caddy.Stop(); err != nil {
					t.Error(err)
				}
			}()
			_, port, _ := net.SplitHostPort(addr)
			s := &site{addr: addr, url: "https://localhost:" + port, client: &http.Client{Transport: p.transport(t)}}
			if p.scheme == "http" {
				s.url = "http://" + addr
			}
			if closer, ok := s.client.Transport.(interface{ CloseIdleConnections() }); ok {
				defer closer.CloseIdleConnections()
			}
			s.ready(t)
			run(t, s, p.major)
		})
	}
}

// ready waits until the site has its certificate.
func (s *site) ready(t *testing.T) {
	t.Helper()
	eventually(t, "the site answers", func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
}

func TestEachProtocolStreams(t *testing.T) {
	eachProtocol(t, "heartbeat 1s", func(t *testing.T, s *site, major int) {
		c := s.stream(t, "/subscribe?events=1", "Accept-Encoding: gzip, zstd")
		defer c.close()
		header := c.response.Header
		if c.response.ProtoMajor != major || c.response.StatusCode != http.StatusOK || header.Get("Content-Encoding") != "" {
			t.Fatalf("%s, status %d, %v", c.response.Proto, c.response.StatusCode, header)
		}
		if major > 1 && (header.Get("Connection") != "" || header.Get("Transfer-Encoding") != "") {
			t.Errorf("a header of HTTP/1.1: %v", header)
		}
		if got := c.text(t, "retry: 10000\n"); got != ":ok\nretry: 10000\n" {
			t.Errorf("the first bytes are %q", got)
		}
		for _, want := range []string{"hello", "live", "presence"} {
			if e := c.next(t); e.Name != want {
				t.Errorf("got %+v, want %s", e, want)
			}
		}
		sent := s.post(t, "/update", "x")
		if got := c.next(t).Message(t); got != sent {
			t.Errorf("got %+v, want %+v", got, sent)
		}
		if e := c.next(t); e.Name != "ping" {
			t.Errorf("got %+v, want a ping", e)
		}
		again := s.stream(t, "/subscribe?last=1")
		if got := again.next(t).Message(t); got != sent {
			t.Errorf("replayed %+v, want %+v", got, sent)
		}
		again.close()
		if a := s.do(t, http.MethodHead, "/subscribe", ""); a.status != http.StatusOK || a.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HEAD: %d %v", a.status, a.header)
		}
		if a := s.do(t, http.MethodGet, "/subscribe", "body"); a.status != http.StatusBadRequest {
			t.Errorf("a stream with a body: %d %s", a.status, a.body)
		}
		c.close()
		b := hubOf(t, "default")
		eventually(t, "the closed streams are forgotten", func() bool { return b.Counts.Subscribers.Load() == 0 })
	})
}

// A reader that does not read is cut, and holds up nobody.
func TestEachProtocolCutsStalledReaders(t *testing.T) {
	// long enough for the other reader, who is not cut however busy the machine is
	eachProtocol(t, "write_timeout 3s\nmax_text 30KiB", func(t *testing.T, s *site, major int) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stalled := s.send(t, ctx, http.MethodGet, "/subscribe", "") // and is not read
		defer stalled.Body.Close()
		good := s.stream(t, "/subscribe")
		b := hubOf(t, "default")
		text := strings.Repeat("x", 30<<10)
		deadline := time.Now().Add(patience)
		sent := 0
		for b.Counts.Subscribers.Load() == 2 {
			if time.Now().After(deadline) {
				t.Fatalf("still there after %d messages", sent)
			}
			m := s.post(t, "/update", text)
			if got := good.next(t).Message(t); got.ID != m.ID {
				t.Fatalf("the other reader got %s, want %s", got.ID, m.ID)
			}
			if sent++; sent > 600 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		// over HTTP/1.1 any end of the connection is the end of the stream, and
		// over HTTP/3 the server ends it so; what was torn is no event there
		timer := time.AfterFunc(patience, cancel)
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
			addr := freeAddr(t)
			if err := loadCaddyfile(t, caddyfileFor(scheme, addr, "write_timeout 1s\nmax_text 30KiB")); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = caddy.Stop() }()
			s, gate := gatedSite(t, addr, scheme, true)
			s.ready(t)
			c := s.stream(t, "/subscribe")
			c.text(t, "retry: 10000\n")
			gate.shut() // nothing is read from the connection any more
			b := hubOf(t, "default")
			eventually(t, "the stalled stream is cut", func() bool {
				hubtest.Publish(t, b.Hub, "lobby", strings.Repeat("x", 30<<10))
				return b.Counts.Subscribers.Load() == 0
			})
			gate.lift()
			if _, err := c.rest(t); err == io.EOF {
				t.Error("a connection that was closed ends as if all were well")
			}
		})
	}
}

// gatedSite is a way to a site through one connection that can be shut.
func gatedSite(t *testing.T, addr, scheme string, h2 bool) (*site, *gatedConn) {
	t.Helper()
	gate := &gatedConn{open: make(chan struct{})}
	t.Cleanup(gate.lift)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		gate.Conn = conn
		if scheme == "http" {
			return gate, nil
		}
		config := insecure()
		if h2 {
			config.NextProtos = []string{"h2"}
		}
		client := tls.Client(gate, config)
		return client, client.HandshakeContext(ctx)
	}
	s := &site{addr: addr, url: scheme + "://localhost", client: new(http.Client)}
	if scheme == "http" {
		s.url = "http://" + addr
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial}
	if h2 {
		transport.Protocols = only2()
	}
	s.client.Transport = transport
	return s, gate
}

// gatedConn is a connection from which nothing is read while it is shut.
type gatedConn struct {
	net.Conn
	closed atomic.Bool
	open   chan struct{}
	once   sync.Once
}

func (c *gatedConn) shut() { c.closed.Store(true) }
func (c *gatedConn) lift() { c.once.Do(func() { close(c.open) }) }

func (c *gatedConn) Close() error {
	c.lift()
	return c.Conn.Close()
}

func (c *gatedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.closed.Load() {
		<-c.open
	}
	return n, err
}
