package ssechat

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/innermost"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// stream writes what a subscriber reads to one HTTP client. Only the handler's
// goroutine touches the response, except for the aborter.
type stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	sub   *hub.Subscriber
	hub   *openHub
	// aborter is the subscriber's Abort.
	aborter *aborter
	// park parks the stream and reports whether it could; nil if the stream cannot
	// be parked.
	park func() bool
}

// parkAttempts is how often a stream asks to be parked, once each time that it waits:
// some clients, such as HAProxy, enlarge the window of a connection only after they
// have got something.
const parkAttempts = 3

// streamHeader sets the header of every answer of /subscribe.
func streamHeader(w http.ResponseWriter) {
	header := w.Header()
	header["Content-Type"] = []string{"text/event-stream"}
	// no-transform prevents compression by encode and others
	header["Cache-Control"] = []string{"no-store, no-transform"}
	header["X-Accel-Buffering"] = []string{"no"}
	// https://www.rfc-editor.org/rfc/rfc10036
	header["Incremental"] = []string{"?1"}
	header["X-Content-Type-Options"] = []string{"nosniff"}
}

// comeBackLater refuses a stream for now. The status is 200, because a native
// EventSource gives up for good at any other.
func comeBackLater(w http.ResponseWriter, r *http.Request, events bool, reason string) {
	logNoStream(r, reason)
	streamHeader(w)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // otherwise the answer would have a Content-Length
	_, _ = w.Write(hub.Refusal(events, reason))
}

// stopForGood refuses a stream for good: an EventSource gives up at a 204.
func stopForGood(w http.ResponseWriter, r *http.Request, reason string) {
	logNoStream(r, reason)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// begin sends the header. It reports false if a writer around the server's would
// buffer the stream until its end.
func (s *stream) begin() bool {
	s.sub.Writing() // encode's WriteHeader sends the header at once, which may stall
	s.w.WriteHeader(http.StatusOK)
	_, buffered := innermost.Writer(s.w)
	return !buffered
}

// run writes what the subscriber reads until the stream ends, and returns the
// reason. It returns "" if the stream was parked.
func (s *stream) run(ctx context.Context, retryMs int64) string {
	stop := context.AfterFunc(ctx, func() { s.sub.End(hub.EndClient) })
	defer stop()

	if s.write(wire.AppendRetry([]byte(wire.FirstLine), retryMs)) != nil {
		return s.lost()
	}
	for attempts := 0; ; {
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
			if attempts++; attempts == parkAttempts {
				s.park = nil
			}
		}
		<-s.sub.Wake
	}
}

// lost returns the reason after a write has failed: the client is gone, unless the
// stream was ended before.
func (s *stream) lost() string {
	s.sub.End(hub.EndClient)
	return s.sub.Over()
}

// sendPending writes what is pending in one write and one flush. It reports whether
// there was anything.
func (s *stream) sendPending(ctx context.Context) (bool, error) {
	buf := hub.Buffers.Get().(*hub.Buffer)
	out := s.sub.Next(ctx, buf.Bytes[:0])
	if len(out.Bytes) == 0 {
		hub.Buffers.Put(buf)
		return false, nil
	}
	if err := s.write(out.Bytes); err != nil {
		// HTTP/2 may still be reading the buffer, so it does not go back to the
		// pool
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

// aborter unblocks a write that a client has stalled for too long. Unlike a
// deadline before each write it costs nothing while writes succeed. Its methods may
// be called by any goroutine.
type aborter struct {
	mu    sync.Mutex
	inner http.ResponseWriter // nil once the handler has returned or the stream is parked
	conn  net.Conn            // nil over HTTP/3
	// exclusive is set if the connection carries nothing but the stream, or has
	// stalled as a whole.
	exclusive bool
	aborted   bool // abort was called
}

func newAborter(w http.ResponseWriter, r *http.Request) *aborter {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	inner, _ := innermost.Writer(w)
	return &aborter{inner: inner, conn: conn, exclusive: r.ProtoMajor == 1}
}

// abort fails the write. The first call spares the other streams of the connection.
// If that does not help, because the whole connection is stalled, a second call
// closes the connection.
func (c *aborter) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		return
	}
	c.aborted = true
	if !c.exclusive || c.conn == nil {
		c.exclusive = true
		// the innermost writer, because Caddy's wrappers may only be used by the
		// handler's goroutine
		if http.NewResponseController(c.inner).SetWriteDeadline(time.Unix(1, 0)) == nil {
			return
		}
	}
	if c.conn != nil {
		// closing the TLS layer would try to send an alert for 5 s
		if layer, ok := c.conn.(interface{ NetConn() net.Conn }); ok {
			_ = layer.NetConn().Close()
		} else {
			_ = c.conn.Close()
		}
	}
}

// unacked is [socket.Socket.Unacked] of the connection. It does not block.
func (c *aborter) unacked() (since time.Duration, owed bool) {
	if !c.mu.TryLock() {
		return 0, false // abort is running
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

// withoutDeadlines prevents Caddy from setting a deadline before each write of a
// request, because an aborter unblocks its writes.
func withoutDeadlines(r *http.Request) {
	if _, w := caddyhttp.IdleTimeoutsFromContext(r.Context()); w != nil {
		w.Ctrl = http.NewResponseController(noDeadlines{})
	}
}

// noDeadlines is a ResponseWriter that does not support deadlines.
type noDeadlines struct{ http.ResponseWriter }

// connKey is the context key of a request's connection.
type connKey struct{}

// tapKey is the context key of connections of a server that [tap] was called for.
type tapKey struct{}
