package h2tap

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// site is a server over taps.
type site struct {
	*httptest.Server
	addr  string
	taken chan *owner // those of /stream
}

// serve starts a server. /stream is taken, if that is possible; other paths are the
// handler's. configure may be nil.
func serve(t testing.TB, configure func(*http.Server), handler http.HandlerFunc) *site {
	t.Helper()
	s := &site{taken: make(chan *owner, 1000)}
	mux := http.NewServeMux()
	if handler != nil {
		mux.Handle("/", handler)
	}
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("begin "))
		_ = http.NewResponseController(w).Flush()
		s.taken <- take(w, r)
	})
	s.Server = httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = true
	var once sync.Once
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		once.Do(func() { Install(s.Config) })
		return ctx
	}
	if configure != nil {
		configure(s.Config)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	s.addr = s.Listener.Addr().String()
	return s
}

// stream opens a stream, and returns it once it was taken.
func (s *site) stream(t testing.TB, c *chattest.HTTP2, id uint32) *owner {
	t.Helper()
	c.Get(id, "/stream")
	select {
	case o := <-s.taken:
		if o == nil {
			t.Fatalf("stream %d was not taken", id)
		}
		return o
	case <-time.After(chattest.Patience):
		t.Fatalf("stream %d was not served", id)
		return nil
	}
}

// owner is an owner that waits.
type owner struct {
	*Stream
	wake   chan struct{}
	gone   chan struct{}
	once   sync.Once
	goAway chan struct{}
}

// take takes the stream of a request. It returns nil if that is not possible.
func take(w http.ResponseWriter, r *http.Request) *owner {
	s := Take(w, r)
	if s == nil {
		return nil
	}
	return own(s)
}

func own(s *Stream) *owner {
	o := &owner{Stream: s, wake: make(chan struct{}, 1), gone: make(chan struct{}), goAway: make(chan struct{}, 1)}
	s.Own(o)
	return o
}

// Writable implements [Owner].
func (o *owner) Writable() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Gone implements [Owner].
func (o *owner) Gone() { o.once.Do(func() { close(o.gone) }) }

// GoAway implements [Owner].
func (o *owner) GoAway() { o.goAway <- struct{}{} }

// write writes all of p. It reports false if the stream ends before that, or if it is
// told of no room for too long.
func (o *owner) write(t testing.TB, p []byte) bool {
	for len(p) > 0 {
		n, err := o.Write(p)
		if err != nil {
			return false
		}
		if p = p[n:]; len(p) == 0 {
			break
		}
		select {
		case <-o.wake:
		case <-o.gone:
			return false
		case <-time.After(chattest.Patience):
			t.Errorf("stream %d is told of no room", o.id)
			return false
		}
	}
	return true
}
