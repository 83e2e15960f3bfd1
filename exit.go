package ssechat

import (
	"context"
	"net/http"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/bodies"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// shutdown ends the streams of this handler, and on exit all of its hub: also
// those that outlived earlier configurations, for which the exit would wait.
// The server calls it in a goroutine of its own.
func (h *Handler) shutdown() {
	reason := hub.EndReload
	if caddy.Exiting() {
		reason = hub.EndExit
	}
	first := h.stopping.CompareAndSwap(nil, &reason)
	if h.hub == nil {
		return
	}
	if first {
		h.streams.Drain(func(streams int) {
			h.events.emit(eventDrained, map[string]any{"hub": h.Hub, "reason": reason, "streams": streams})
		})
	}
	if reason == hub.EndExit {
		bodies.InFlight.End()
		h.hub.EndAll(reason)
		h.closeHTTP3()
	} else {
		h.hub.EndGroup(h.streams, reason)
	}
}

// awaitParked has an exit wait for parked streams, which are none of the
// server's any more.
func (h *Handler) awaitParked(context.Context) error {
	if caddy.Exiting() {
		h.shutdown()
		h.hub.lot.Await(2 * hub.GoodbyeLimit) // no longer than stalled ones may take
	}
	return nil
}

// Cleanup gives the hub back. It also runs after a failed Provision.
func (h *Handler) Cleanup() error {
	h.shutdown()
	if h.claim == nil {
		return nil
	}
	claim := h.claim
	h.claim = nil // a second release would take another handler's share
	if h.limiter != nil {
		unshareLimiter(h.Hub, *h.Rate)
	}
	return claim.release()
}

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
