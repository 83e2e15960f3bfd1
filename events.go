package ssechat

import (
	"context"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// The events that a handler emits through Caddy's events app.
const (
	eventDrained   = "drained"
	eventStoreDown = "store_down"
	eventStoreUp   = "store_up"
)

// emitter emits a handler's events. It is safe for concurrent use.
type emitter struct {
	ctx caddy.Context
	app *caddyevents.App // nil if there is no events app
	// started is closed when all apps of the configuration have started. Events
	// before that have no subscribers.
	started chan struct{}
}

func newEmitter(ctx caddy.Context) emitter {
	app, _ := ctx.AppIfConfigured("events") // the http app loads it
	events, _ := app.(*caddyevents.App)
	// streams, and so their events, outlive their configuration for a moment
	ctx.Context = context.WithoutCancel(ctx.Context)
	e := emitter{ctx, events, make(chan struct{})}
	start := sync.OnceFunc(func() { close(e.started) })
	if !e.onStart(start) {
		start()
	}
	return e
}

// onStart calls f when Caddy has started the configuration, which is never if it is
// only validated. It reports false if there is no events app to tell.
func (e emitter) onStart(f func()) bool {
	return e.app != nil && e.app.On("started", startHearer{f}) == nil
}

// startHearer calls start when Caddy has started the configuration. Other modules
// may emit an event of that name too.
type startHearer struct{ start func() }

// Handle implements [caddyevents.Handler].
func (h startHearer) Handle(_ context.Context, e caddy.Event) error {
	if e.Origin() == nil { // emitted by Caddy itself
		h.start()
	}
	return nil
}

func (e emitter) emit(event string, data map[string]any) {
	if e.app != nil && e.app.ShouldEmit(event) {
		e.app.Emit(e.ctx, event, data)
	}
}
