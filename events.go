package ssechat

import (
	"context"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// The events of Caddy's events app that a handler emits.
const (
	eventDrained   = "drained"
	eventStoreDown = "store_down"
	eventStoreUp   = "store_up"
)

// emitter emits events for a handler.
type emitter struct {
	ctx caddy.Context
	app *caddyevents.App // nil outside the http app
	// started is closed when all apps of the configuration have started. Nobody
	// hears an event before.
	started chan struct{}
}

func newEmitter(ctx caddy.Context) emitter {
	app, _ := ctx.AppIfConfigured("events") // the http app has loaded it
	events, _ := app.(*caddyevents.App)
	// streams outlive their configuration for a moment, and so does what there
	// is to tell of them
	ctx.Context = context.WithoutCancel(ctx.Context)
	e := emitter{ctx, events, make(chan struct{})}
	start := sync.OnceFunc(func() { close(e.started) })
	if events == nil || events.On("started", startHearer{start}) != nil {
		start()
	}
	return e
}

// startHearer hears that Caddy has started a configuration. Other modules may
// have an event of that name too.
type startHearer struct{ start func() }

// Handle implements [caddyevents.Handler].
func (h startHearer) Handle(_ context.Context, e caddy.Event) error {
	if e.Origin() == nil { // Caddy itself
		h.start()
	}
	return nil
}

func (e emitter) emit(event string, data map[string]any) {
	if e.app != nil && e.app.ShouldEmit(event) {
		e.app.Emit(e.ctx, event, data)
	}
}
