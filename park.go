package ssechat

import (
	"net"
	"net/http"

	"go.uber.org/zap"

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
	park := s.handOverHTTP1
	if r.ProtoMajor == 2 {
		park = s.handOverHTTP2
	}
	line := func() func(*hub.Subscriber) {
		s.aborter.inner, s.aborter.conn = nil, nil
		if line := takeAccessLine(r, s.w.Header(), s.hub, log); line != nil {
			return line.write
		}
		return nil
	}
	if !park(r, sender, line) {
		sender.Leave()
		return false
	}
	return true
}

// handOverHTTP1 parks a stream with its connection. ended is called once the
// connection is the stream's.
func (s *stream) handOverHTTP1(r *http.Request, sender *parking.Sender, ended func() func(*hub.Subscriber)) bool {
	inner, _ := innermost.Writer(s.w)
	conn := r.Context().Value(connKey{}).(net.Conn)
	own, err := socket.New(conn)
	if err != nil {
		return false
	}
	// bypass Caddy's recorder, whose own Hijack would keep the whole request alive
	hijacked, _, err := http.NewResponseController(inner).Hijack()
	if err != nil {
		own.Release()
		return false
	}
	own.Own(hijacked)
	sender.ParkHTTP1(s.sub, own, r.ProtoAtLeast(1, 1), ended())
	return true
}

// handOverHTTP2 parks a stream that shares its connection.
func (s *stream) handOverHTTP2(r *http.Request, sender *parking.Sender, ended func() func(*hub.Subscriber)) bool {
	inner, _ := innermost.Writer(s.w)
	own := h2tap.Take(inner, r)
	if own == nil {
		return false
	}
	sender.ParkHTTP2(s.sub, own, ended())
	return true
}
