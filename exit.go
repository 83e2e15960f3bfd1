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

// shutdown ends the streams of this handler. On exit it ends all streams of the
// hub, including those that outlived earlier configurations, because the exit would
// wait for them. The server calls it in a goroutine of its own.
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

// awaitParked makes an exit wait for parked streams, which the server no longer
// knows.
func (h *Handler) awaitParked(context.Context) error {
	if caddy.Exiting() {
		h.shutdown()
		h.hub.lot.Await(2 * hub.GoodbyeLimit) // long enough for stalled ones to be cut off
	}
	return nil
}

// Cleanup releases the hub. Caddy also calls it after a failed Provision.
func (h *Handler) Cleanup() error {
	h.shutdown()
	if h.claim == nil {
		return nil
	}
	claim := h.claim
	h.claim = nil // a second release would take another handler's claim
	if h.limiter != nil {
		unshareLimiter(h.Hub, *h.Rate)
	}
	return claim.release()
}

// http3Grace is how long an exit waits for HTTP/3 clients to close their
// connections when told to. A frozen client would delay the exit for 30 s.
const http3Grace = 5 * time.Second

// noteHTTP3 remembers the server of an HTTP/3 stream for shutdown.
func (h *Handler) noteHTTP3(r *http.Request) {
	if r.ProtoMajor == 3 {
		if server, ok := r.Context().Value(http3.ServerContextKey).(*http3.Server); ok {
			h.http3.Store(server)
		}
	}
}

// closeHTTP3 closes the remaining HTTP/3 connections of a server that had streams,
// after http3Grace.
func (h *Handler) closeHTTP3() {
	if server := h.http3.Load(); server != nil {
		time.AfterFunc(http3Grace, func() { _ = server.Close() })
	}
}
