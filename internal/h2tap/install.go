package h2tap

import (
	"context"
	"crypto/tls"
	"net/http"

	"golang.org/x/net/http2"
)

// connKey is the context key of a request's tap.
type connKey struct{}

// Install makes a server serve HTTP/2 over TLS through taps. It must be called once,
// before the server serves its first connection, and does nothing if that is not
// [Supported] or the server has no HTTP/2.
func Install(server *http.Server) {
	if !Supported || server.TLSNextProto[http2.NextProtoTLS] == nil {
		return
	}
	own := &http2.Server{IdleTimeout: -1} //nolint:staticcheck // the taps have one; only x/net serves any connection
	// x/net ends its sessions when the server that it was configured for shuts
	// down; this one serves nothing
	life := new(http.Server)
	if err := http2.ConfigureServer(life, own); err != nil { //nolint:staticcheck // as above
		return
	}
	asleep := &sleepers{conns: make(map[*Conn]struct{})}
	server.RegisterOnShutdown(func() {
		_ = life.Shutdown(context.Background())
		asleep.close()
	})
	server.TLSNextProto[http2.NextProtoTLS] = func(server *http.Server, conn *tls.Conn, h http.Handler) {
		c := newConn(conn, idleTimeout(server), maxStreams(server))
		defer c.finish(life) // not server, which would live on with its configuration
		ctx := context.Background()
		if base, ok := h.(interface{ BaseContext() context.Context }); ok {
			ctx = base.BaseContext()
		}
		ctx = context.WithValue(ctx, connKey{}, c)
		for ok := true; ok; ok = c.rest(asleep) {
			own.ServeConn(c, &http2.ServeConnOpts{Context: ctx, Handler: refuser{h, c}, BaseConfig: server}) //nolint:staticcheck // as above
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
	if h.conn.isCrowded() {
		if id, ok := streamID(w); ok {
			h.conn.refuse(id)
		}
		panic(http.ErrAbortHandler) // resets the stream
	}
	h.Handler.ServeHTTP(w, r)
}
