package ssechat

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// stream carries what a subscriber reads to one HTTP client. Only the
// handler's goroutine touches the response, but for the cutter.
type stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	sub   *hub.Subscriber
	hub   *openHub
	// cutter is the one of the subscriber.
	aborter *aborter
	// park parks the stream if it can; nil if it need not be tried.
	park func() bool
}

// streamHeader sets the header of every answer of /subscribe.
func streamHeader(w http.ResponseWriter) {
	header := w.Header()
	header["Content-Type"] = []string{"text/event-stream"}
	// no-transform keeps encode and its kind away
	header["Cache-Control"] = []string{"no-store, no-transform"}
	header["X-Accel-Buffering"] = []string{"no"}
	// https://www.rfc-editor.org/rfc/rfc10036
	header["Incremental"] = []string{"?1"}
	header["X-Content-Type-Options"] = []string{"nosniff"}
}

// comeBackLater answers a stream that cannot be served now. The status is 200,
// because a native EventSource gives up for good at any other.
func comeBackLater(w http.ResponseWriter, r *http.Request, events bool, reason string) {
	logNoStream(r, reason)
	streamHeader(w)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // or it would have a Content-Length
	_, _ = w.Write(hub.Refusal(events, reason))
}

// stopForGood answers a stream that must not come back: at 204 an EventSource
// gives up.
func stopForGood(w http.ResponseWriter, r *http.Request, reason string) {
	logNoStream(r, reason)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// begin sends the header. It reports whether what follows goes out at once,
// rather than being collected by a writer around the server's until the end.
func (s *stream) begin() bool {
	s.sub.Writing() // inside encode, WriteHeader sends it at once
	s.w.WriteHeader(http.StatusOK)
	_, buffered := innermost(s.w)
	return !buffered
}

// run sends all that the subscriber reads, until either side has had enough.
// It returns why the stream ended, or "" if it goes on as a parked one.
func (s *stream) run(ctx context.Context, retryMs int64) string {
	stop := context.AfterFunc(ctx, func() { s.sub.End(hub.EndClient) })
	defer stop()

	if s.write(wire.AppendRetry([]byte(wire.FirstLine), retryMs)) != nil {
		return s.lost()
	}
	for {
		switch reason := s.sub.Over(); reason {
		case "":
		case hub.EndClient, hub.EndSlow:
			return reason
		default:
			_ = s.write(s.sub.Goodbye(reason))
			return reason
		}
		sent, err := s.sendPending(ctx)
		if err != nil {
			return s.lost()
		}
		if sent {
			continue
		}
		if s.park != nil && s.sub.Started() {
			if s.park() {
				return ""
			}
			s.park = nil
		}
		<-s.sub.Wake
	}
}

// lost returns why writing has failed: the client is gone, if nobody has ended
// the stream.
func (s *stream) lost() string {
	s.sub.End(hub.EndClient)
	return s.sub.Over()
}

// sendPending writes what is pending, in one write and one flush. It reports
// whether there was anything.
func (s *stream) sendPending(ctx context.Context) (bool, error) {
	buf := hub.Buffers.Get().(*hub.Buffer)
	out := s.sub.Next(ctx, buf.Bytes[:0])
	if len(out.Bytes) == 0 {
		hub.Buffers.Put(buf)
		return false, nil
	}
	if err := s.write(out.Bytes); err != nil {
		// HTTP/2 may still be sending from the buffer, so it is not put back
		return true, err
	}
	s.sub.Delivered(out)
	buf.Keep(out)
	hub.Buffers.Put(buf)
	return true, nil
}

func (s *stream) write(p []byte) error {
	s.sub.Writing()
	n, err := s.w.Write(p)
	if err == nil {
		err = s.flush.Flush()
	}
	s.sub.Written(n)
	return err
}

// cutter unblocks a write that a client has stalled for too long. Unlike a
// deadline before each write it costs nothing while all is well.
type aborter struct {
	mu    sync.Mutex
	inner http.ResponseWriter // nil once the handler has returned
	conn  net.Conn            // nil over HTTP/3
	// alone tells that the connection carries nothing but the stream.
	exclusive bool
	aborted   bool // it was to be cut
}

func newAborter(w http.ResponseWriter, r *http.Request) *aborter {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	inner, _ := innermost(w)
	return &aborter{inner: inner, conn: conn, exclusive: r.ProtoMajor == 1}
}

// cut fails the write. If only the stream is stalled it leaves the others of
// the connection alone. If that does not help, because the whole connection
// is stalled, a second call closes it.
func (c *aborter) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		return
	}
	c.aborted = true
	if !c.exclusive || c.conn == nil {
		c.exclusive = true
		// on the innermost writer, because Caddy's wrappers are not made for
		// other goroutines than the handler's
		if http.NewResponseController(c.inner).SetWriteDeadline(time.Unix(1, 0)) == nil {
			return
		}
	}
	if c.conn != nil {
		// not through TLS, which would try for 5 s to say goodbye
		if layer, ok := c.conn.(interface{ NetConn() net.Conn }); ok {
			_ = layer.NetConn().Close()
		} else {
			_ = c.conn.Close()
		}
	}
}

// unheard is [socket.Socket.Unheard] of the connection. It does not block.
func (c *aborter) unacked() (since time.Duration, owed bool) {
	if !c.mu.TryLock() {
		return 0, false // it is being cut
	}
	defer c.mu.Unlock()
	return socket.Unacked(c.conn)
}

// release must be called before the handler returns.
func (c *aborter) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inner, c.conn = nil, nil
}

// withoutDeadlines keeps Caddy from setting a deadline before each write of a
// request, because a cutter looks after its writes.
func withoutDeadlines(r *http.Request) {
	if _, w := caddyhttp.IdleTimeoutsFromContext(r.Context()); w != nil {
		w.Ctrl = http.NewResponseController(noDeadlines{})
	}
}

// noDeadlines is a ResponseWriter that knows no deadlines.
type noDeadlines struct{ http.ResponseWriter }
