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

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// proxy is a network with faults between a browser and a server.
type proxy struct {
	*chattest.Network

	mu    sync.Mutex
	fault fault
	// last is what the last request of each link was.
	last map[*chattest.Link]*request
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
	badPosts             // posts get 502, and changes
	loseAnswers          // posts arrive, but their answers do not
	forbidden            // posts and new streams get 403
	goneForGood          // new streams get 204
	slowPosts            // posts arrive late, and are lost if the browser aborts them
	slowAnswers          // answers to posts are late
	busy                 // new streams get 503 for a minute
)

// request is what is known of a request.
type request struct {
	posts   atomic.Bool
	streams atomic.Bool // it is for a stream of events
}

func newProxy(t *testing.T, targetPort string) *proxy {
	t.Helper()
	p := &proxy{last: make(map[*chattest.Link]*request)}
	p.Network = chattest.NewNetwork(t, "127.0.0.1:"+targetPort, p.begin)
	return p
}

func (p *proxy) url() string { return "http://localhost:" + port("http://"+p.Addr) }

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

// streaming returns the links whose last request was for a stream of events.
func (p *proxy) streaming() (list []*chattest.Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.Links() {
		if p.last[l].streams.Load() {
			list = append(list, l)
		}
	}
	return list
}

// inject writes a chunk into each event stream, as if the server had sent it.
func (p *proxy) inject(event string) {
	for _, l := range p.streaming() {
		_, _ = fmt.Fprintf(l.Client, "%x\r\n%s\r\n", len(event), event)
	}
}

// streams counts the streams of events that are open.
func (p *proxy) streams() int { return len(p.streaming()) }

func (p *proxy) begin(l *chattest.Link) chattest.Pass {
	last := new(request)
	p.mu.Lock()
	p.last[l] = last
	p.mu.Unlock()
	return func(b []byte, fromServer bool) bool {
		for p.is() == stalled {
			time.Sleep(10 * time.Millisecond)
		}
		if len(b) == 0 {
			return false
		}
		if fromServer {
			return p.answered(last)
		}
		return p.asked(l, last, b)
	}
}

// asked reports whether what a browser sends reaches the server.
func (p *proxy) asked(l *chattest.Link, last *request, b []byte) bool {
	if method, path, found := strings.Cut(string(b), " /"); found && len(method) < 8 {
		last.posts.Store(method == "POST" || method == "PATCH" || method == "DELETE")
		last.streams.Store(strings.HasPrefix(path, "subscribe"))
	}
	if p.is() == slowPosts && last.posts.Load() && leaves(l.Client) {
		return false
	}
	for p.is() == stalledStreams && last.streams.Load() {
		time.Sleep(10 * time.Millisecond)
	}
	answer := p.answer(last.posts.Load(), last.streams.Load())
	_, _ = io.WriteString(l.Client, answer)
	return answer == ""
}

// answered reports whether what the server answers reaches the browser.
func (p *proxy) answered(last *request) bool {
	if p.is() == slowAnswers && last.posts.Load() {
		time.Sleep(late)
	}
	return p.is() != loseAnswers || !last.posts.Load()
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
	more := ""
	switch {
	case p.fault == badGateway, p.fault == badPosts && posted:
		status = http.StatusBadGateway
	case p.fault == forbidden && (posted || streams):
		status = http.StatusForbidden
	case p.fault == goneForGood && streams:
		status = http.StatusNoContent
	case p.fault == busy && streams:
		status, more = http.StatusServiceUnavailable, "Retry-After: 60\r\n"
	default:
		return ""
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", status, http.StatusText(status), more)
}
