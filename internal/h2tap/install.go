package h2tap

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"golang.org/x/net/http2"
)

// defaultMaxStreams is what x/net allows a client.
const defaultMaxStreams = 250

// connKey is the context key of a request's tap.
type connKey struct{}

// Install makes a server serve HTTP/2 over TLS through taps. It must be called once,
// before the server serves its first connection, and does nothing if that is not
// [Supported] or the server has no HTTP/2.
func Install(server *http.Server) {
	if !Supported || server.TLSNextProto[http2.NextProtoTLS] == nil {
		return
	}
	own := &http2.Server{IdleTimeout: -1} //nolint:staticcheck // the taps have one; nothing else turns it off
	all := &conns{open: make(map[*Conn]struct{})}
	server.RegisterOnShutdown(all.shutDown)
	server.TLSNextProto[http2.NextProtoTLS] = func(server *http.Server, conn *tls.Conn, h http.Handler) {
		c := newConn(conn, idleTimeout(server), maxStreams(server))
		all.add(c)
		defer all.remove(c)
		defer c.finish(all)
		ctx := context.Background()
		if base, ok := h.(interface{ BaseContext() context.Context }); ok {
			ctx = base.BaseContext()
		}
		ctx = context.WithValue(ctx, connKey{}, c)
		for ok := true; ok; ok = c.rest() {
			own.ServeConn(c, &http2.ServeConnOpts{Context: ctx, Handler: refuser{h, c}, BaseConfig: server}) //nolint:staticcheck // only x/net serves any connection
		}
	}
}

// refuser refuses the streams beyond the limit that the client was told of: the
// server does not count those that were taken.
type refuser struct {
	http.Handler
	conn *Conn
}

func (h refuser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.conn.hasTooMany() {
		if id, ok := streamID(w); ok {
			h.conn.refuse(id)
		}
		panic(http.ErrAbortHandler) // resets the stream
	}
	h.Handler.ServeHTTP(w, r)
}

// idleTimeout returns how long a connection of a server may carry no stream, as
// x/net has it.
func idleTimeout(server *http.Server) time.Duration {
	if server.IdleTimeout != 0 {
		return server.IdleTimeout
	}
	return server.ReadTimeout
}

// maxStreams returns how many streams of a connection a client may open, as x/net
// tells it.
func maxStreams(server *http.Server) int {
	if server.HTTP2 != nil && server.HTTP2.MaxConcurrentStreams > 0 {
		return server.HTTP2.MaxConcurrentStreams
	}
	return defaultMaxStreams
}
