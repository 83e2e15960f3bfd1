package ssechat

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/approval"
	"github.com/sse-chat/caddy-sse-chat/internal/bodytime"
	"github.com/sse-chat/caddy-sse-chat/internal/events"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// lifetime is the time in which a handler serves, and how that ends. Its methods may
// be called by any goroutine.
type lifetime struct {
	events   events.Emitter
	streams  hub.Group
	stopping atomic.Pointer[string] // reason why streams end; nil while serving
	http3    atomic.Pointer[http3.Server]
	claim    *claim // nil until the hub is open
	rate     *allowance
	signals  *allowance
	approval *approval.Rule // nil if nobody is asked
	push     *pushUse       // nil without the option
	released bool           // only Cleanup touches it
}

// attach registers shutdown with the server. Cleanup would come too late, because
// the server waits for streams to end first.
func (h *Handler) attach(server *caddyhttp.Server) {
	server.RegisterOnShutdown(h.life.shutdown)
	server.RegisterOnStop(h.life.awaitParked)
	server.RegisterConnContext(func(ctx context.Context, conn net.Conn) context.Context {
		if ctx.Value(connKey{}) != nil {
			return ctx // another handler of this server was first
		}
		return context.WithValue(ctx, connKey{}, conn)
	})
}

// shutdown ends the streams of the handler. On exit it ends all streams of the hub,
// including those that outlived earlier configurations, because the exit would wait
// for them. The server calls it in a goroutine of its own.
func (l *lifetime) shutdown() {
	reason := hub.EndReload
	if caddy.Exiting() {
		reason = hub.EndExit
	}
	first := l.stopping.CompareAndSwap(nil, &reason)
	if l.claim == nil {
		return
	}
	if first {
		l.streams.Drain(func(streams int) {
			l.events.Emit(events.Drained, map[string]any{"hub": l.claim.key.name, "reason": reason, "streams": streams})
		})
	}
	if reason == hub.EndExit {
		bodytime.InFlight.End()
		l.approval.End()
		l.claim.hub.webhook.End()
		l.claim.hub.EndAll(reason)
		l.closeHTTP3()
	} else {
		l.claim.hub.EndGroup(&l.streams, reason)
	}
}

// awaitParked makes an exit wait for parked streams, which the server no longer
// knows.
func (l *lifetime) awaitParked(context.Context) error {
	if caddy.Exiting() && l.claim != nil {
		l.shutdown()
		l.claim.hub.lot.Await(2 * hub.GoodbyeLimit) // long enough for stalled ones to be cut off
	}
	return nil
}

// release gives up the hub, once.
func (l *lifetime) release() error {
	if l.claim == nil || l.released {
		return nil
	}
	l.released = true // a second release would take another handler's claim
	l.rate.release()
	l.signals.release()
	l.approval.Close()
	l.push.release() // before the hub, which it asks who is there
	return l.claim.release()
}

// http3Grace is how long an exit waits for HTTP/3 clients to close their
// connections when told to. A frozen client would delay the exit for 30 s.
const http3Grace = 5 * time.Second

// noteHTTP3 remembers the server of an HTTP/3 stream for shutdown.
func (l *lifetime) noteHTTP3(r *http.Request) {
	if r.ProtoMajor == 3 {
		if server, ok := r.Context().Value(http3.ServerContextKey).(*http3.Server); ok {
			l.http3.Store(server)
		}
	}
}

// closeHTTP3 closes the remaining HTTP/3 connections of a server that had streams,
// after http3Grace.
func (l *lifetime) closeHTTP3() {
	if server := l.http3.Load(); server != nil {
		time.AfterFunc(http3Grace, func() { _ = server.Close() })
	}
}
