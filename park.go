package ssechat

import (
	"context"
	"net"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/h2tap"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/innermost"
	"github.com/sse-chat/caddy-sse-chat/internal/parking"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// Once a stream has nothing to write, it can be parked: its goroutine, buffers and
// request are freed, and the hub's senders write for it. Over HTTP/1.1 it has its
// connection to itself and keeps that; over HTTP/2 it is taken out of the server's
// hands, which goes on serving the connection.

// parkable reports whether a stream may be parked once it waits.
func parkable(r *http.Request) bool {
	if r.ProtoMajor == 2 {
		return h2tap.Taps(r)
	}
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	return r.ProtoMajor == 1 && ok && socket.Takes(conn)
}

// handOver parks a waiting stream. If it reports false, the stream is unchanged.
func (s *stream) handOver(r *http.Request, log *zap.Logger) bool {
	if s.w.Header().Get("Content-Encoding") != "" {
		return false // a writer around this one encodes what is written
	}
	// nobody may close the connection while it changes hands, because its
	// descriptor could be reused by another one
	s.aborter.mu.Lock()
	defer s.aborter.mu.Unlock()
	if s.aborter.inner == nil || s.aborter.aborted {
		return false
	}
	sender := s.hub.lot.Enter()
	if sender == nil {
		return false
	}
	take := s.takeHTTP1
	if r.ProtoMajor == 2 {
		take = s.takeHTTP2
	}
	park := take(r, sender)
	if park == nil {
		sender.Leave()
		return false
	}
	s.aborter.inner, s.aborter.conn = nil, nil
	var ended func(*hub.Subscriber)
	if line := takeAccessLine(r, s.w.Header(), s.hub, log); line != nil {
		ended = line.write
	}
	park(ended)
	return true
}

// takeHTTP1 takes the stream's connection from the server and returns what parks the
// stream. It returns nil if the connection cannot be taken.
func (s *stream) takeHTTP1(r *http.Request, sender *parking.Sender) (park func(ended func(*hub.Subscriber))) {
	inner, _ := innermost.Writer(s.w)
	own, err := socket.New(r.Context().Value(connKey{}).(net.Conn))
	if err != nil {
		return nil
	}
	// bypass Caddy's recorder, whose own Hijack would keep the whole request alive
	hijacked, _, err := http.NewResponseController(inner).Hijack()
	if err != nil {
		own.Release()
		return nil
	}
	own.Own(hijacked)
	return func(ended func(*hub.Subscriber)) { sender.ParkHTTP1(s.sub, own, r.ProtoAtLeast(1, 1), ended) }
}

// takeHTTP2 is takeHTTP1 for a stream that shares its connection.
func (s *stream) takeHTTP2(r *http.Request, sender *parking.Sender) (park func(ended func(*hub.Subscriber))) {
	inner, _ := innermost.Writer(s.w)
	own := h2tap.Take(inner, r)
	if own == nil {
		return nil
	}
	return func(ended func(*hub.Subscriber)) { sender.ParkHTTP2(s.sub, own, ended) }
}

// tap makes the server serve HTTP/2 so that streams of it can be parked.
func tap(server *caddyhttp.Server) {
	var once sync.Once
	server.RegisterConnContext(func(ctx context.Context, _ net.Conn) context.Context {
		inner, ok := ctx.Value(http.ServerContextKey).(*http.Server)
		if !ok || ctx.Value(tapKey{}) != nil {
			return ctx // another handler of this server was first
		}
		once.Do(func() { h2tap.Install(inner) }) // no connection is served before the first is accepted
		return context.WithValue(ctx, tapKey{}, true)
	})
}

// parks reports whether streams are parked.
func (h *Handler) parks() bool { return h.Park == nil || *h.Park }
