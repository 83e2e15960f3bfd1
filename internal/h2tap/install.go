package h2tap

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"

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

// conns are the connections of a server.
type conns struct {
	mu     sync.Mutex // guards all below
	open   map[*Conn]struct{}
	isDown bool
}

func (l *conns) add(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	if l.isDown {
		c.shutDown()
	}
}

func (l *conns) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// shutDown ends the sessions of all connections once their requests are answered.
func (l *conns) shutDown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isDown = true
	for c := range l.open {
		c.shutDown()
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
