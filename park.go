package ssechat

import (
	"net"
	"net/http"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/innermost"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// A stream over HTTP/1.1 has its connection to itself, so it can be parked: once it
// has nothing to write, its goroutine, buffers and request are freed, and the hub's
// senders write for it.

// parkable reports whether a stream may be parked once it waits: it must have a
// socket to itself.
func parkable(r *http.Request) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	return ok && socket.Takes(conn)
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
	inner, _ := innermost.Writer(s.w)
	conn := r.Context().Value(connKey{}).(net.Conn)
	own, err := socket.New(conn)
	if err != nil {
		return false
	}
	sender := s.hub.lot.Enter()
	if sender == nil {
		own.Release()
		return false
	}
	// bypass Caddy's recorder, whose own Hijack would keep the whole request alive
	hijacked, _, err := http.NewResponseController(inner).Hijack()
	if err != nil {
		sender.Leave()
		own.Release()
		return false
	}
	own.Own(hijacked)
	s.aborter.inner, s.aborter.conn = nil, nil
	var ended func(*hub.Subscriber)
	if line := takeAccessLine(r, s.w.Header(), s.hub, log); line != nil {
		ended = line.write
	}
	sender.Park(s.sub, own, r.ProtoAtLeast(1, 1), ended)
	return true
}
