package ssechat

import (
	"net/http"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// http3Grace is how long an exit waits for clients over HTTP/3 to close their
// connections, as they should when they are told. One that is frozen would
// hold up the exit for 30 s.
const http3Grace = 5 * time.Second

// noteHTTP3 remembers the server of a stream over HTTP/3, for shutdown.
func (h *Handler) noteHTTP3(r *http.Request) {
	if r.ProtoMajor == 3 {
		if server, ok := r.Context().Value(http3.ServerContextKey).(*http3.Server); ok {
			h.http3.Store(server)
		}
	}
}

// closeHTTP3 closes, after a while, what connections are left over HTTP/3 to
// a server that had streams.
func (h *Handler) closeHTTP3() {
	if server := h.http3.Load(); server != nil {
		time.AfterFunc(http3Grace, func() { _ = server.Close() })
	}
}
