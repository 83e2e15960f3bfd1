package ssechat

import (
	"context"

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
}

func newEmitter(ctx caddy.Context) emitter {
	app, _ := ctx.AppIfConfigured("events") // the http app has loaded it
	events, _ := app.(*caddyevents.App)
	// streams outlive their configuration for a moment, and so does what there
	// is to tell of them
	ctx.Context = context.WithoutCancel(ctx.Context)
	return emitter{ctx, events}
}

func (e emitter) emit(event string, data map[string]any) {
	if e.app != nil && e.app.ShouldEmit(event) {
		e.app.Emit(e.ctx, event, data)
	}
}
