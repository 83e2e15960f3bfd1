package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

// proxy is a network with faults between a browser and a server.
type proxy struct {
	t      *testing.T
	port   string
	target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[*link]struct{}
	fault    fault
}

// late is how long slow posts and answers take.
const late = 400 * time.Millisecond

// fault is a fault of the network.
type fault int

const (
	healthy        fault = iota
	stalled              // nothing passes, and nothing is closed
	stalledStreams       // event streams do not even start
	badGateway           // requests get 502
	badPosts             // posts get 502
	loseAnswers          // posts arrive, but their answers do not
	forbidden            // posts and new streams get 403
	goneForGood          // new streams get 204
	slowPosts            // posts arrive late, and are lost if the browser aborts them
	slowAnswers          // answers to posts are late
)

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	streams        atomic.Bool // the last request was for a stream of events
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

// inject writes a chunk into each event stream, as if the server had sent it.
func (p *proxy) inject(event string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.conns {
		if l.streams.Load() {
			_, _ = fmt.Fprintf(l.client, "%x\r\n%s\r\n", len(event), event)
		}
	}
}

// streams counts the open event streams.
func (p *proxy) streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := 0
	for l := range p.conns {
		if l.streams.Load() {
			count++
		}
	}
	return count
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client: client, server: server}
	p.mu.Lock()
	p.conns[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, l)
		p.mu.Unlock()
	}()
	var posted atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.copy(server, client, func(b []byte) bool {
			if method, path, found := strings.Cut(string(b), " /"); found && len(method) < 8 {
				posted.Store(method == "POST")
				l.streams.Store(strings.HasPrefix(path, "subscribe"))
			}
			if p.is() == slowPosts && posted.Load() && leaves(client) {
				return false
			}
			for p.is() == stalledStreams && l.streams.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			answer := p.answer(posted.Load(), l.streams.Load())
			_, _ = io.WriteString(client, answer)
			return answer == ""
		})
		server.Close()
	}()
	p.copy(client, server, func([]byte) bool {
		if p.is() == slowAnswers && posted.Load() {
			time.Sleep(late)
		}
		return p.is() != loseAnswers || !posted.Load()
	})
	client.Close()
	server.Close()
	<-done
}

// leaves waits for as long as slow posts take, and reports whether the client
// closes its connection in the meantime.
func leaves(client net.Conn) bool {
	_ = client.SetReadDeadline(time.Now().Add(late))
	defer func() { _ = client.SetReadDeadline(time.Time{}) }()
	_, err := client.Read(make([]byte, 1))
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// answer returns the network's answer in place of the server's, or "".
func (p *proxy) answer(posted, streams bool) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var status int
	switch {
	case p.fault == badGateway, p.fault == badPosts && posted:
		status = http.StatusBadGateway
	case p.fault == forbidden && (posted || streams):
		status = http.StatusForbidden
	case p.fault == goneForGood && streams:
		status = http.StatusNoContent
	default:
		return ""
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, http.StatusText(status))
}

// copy forwards what keep accepts, and nothing while the network is stalled.
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
