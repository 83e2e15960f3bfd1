package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

// proxy is a network between a browser and a server that can be made bad.
type proxy struct {
	t      *testing.T
	port   string
	target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[*link]struct{}
	fault    fault
}

// fault is what is wrong with the network.
type fault int

const (
	healthy     fault = iota
	stalled           // nothing passes, and nothing is closed
	badGateway        // new requests are answered 502
	loseAnswers       // what is posted arrives, but the answer does not
)

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
}

func newProxy(t *testing.T, targetPort string) *proxy {
	t.Helper()
	p := &proxy{t: t, port: caddyproc.FreePort(t), target: "127.0.0.1:" + targetPort, conns: make(map[*link]struct{})}
	p.connect()
	t.Cleanup(func() {
		p.disconnect()
		p.cut(false)
	})
	return p
}

func (p *proxy) url() string { return "http://localhost:" + p.port }

// connect and disconnect plug the network in and out; while it is out,
// connections are refused.
func (p *proxy) connect() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+p.port)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
}

func (p *proxy) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener.Close()
}

func (p *proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func (p *proxy) is() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// cut ends all connections, by a reset or cleanly.
func (p *proxy) cut(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.conns {
		if reset {
			_ = l.client.(*net.TCPConn).SetLinger(0)
		}
		l.client.Close()
		l.server.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if p.is() == badGateway {
		if _, err := http.ReadRequest(bufio.NewReader(client)); err == nil {
			_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client, server}
	p.mu.Lock()
	p.conns[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, l)
		p.mu.Unlock()
	}()
	var posted bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.copy(server, client, func(b []byte) bool {
			posted = posted || strings.HasPrefix(string(b), "POST ")
			return true
		})
	}()
	p.copy(client, server, func([]byte) bool { return p.is() != loseAnswers || !posted })
	client.Close()
	server.Close()
	<-done
}

// copy passes on what keep lets pass, and nothing while the network is stalled.
func (p *proxy) copy(to, from net.Conn, keep func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for p.is() == stalled {
			time.Sleep(10 * time.Millisecond)
		}
		if n > 0 {
			if !keep(buf[:n]) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
