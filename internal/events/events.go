// Package events emits events through Caddy's events app.
package events

import (
	"context"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// The events that a handler emits.
const (
	Drained     = "drained"
	StoreDown   = "store_down"
	StoreUp     = "store_up"
	WebhookDown = "webhook_down"
	WebhookUp   = "webhook_up"
)

// Emitter emits a handler's events. It is safe for concurrent use.
type Emitter struct {
	ctx     caddy.Context
	app     *caddyevents.App // nil if there is no events app
	started chan struct{}
}

// NewEmitter returns an emitter for a handler of the configuration that ctx belongs to.
func NewEmitter(ctx caddy.Context) Emitter {
	app, _ := ctx.AppIfConfigured("events") // the http app loads it
	events, _ := app.(*caddyevents.App)
	// streams, and so their events, outlive their configuration for a moment
	ctx.Context = context.WithoutCancel(ctx.Context)
	e := Emitter{ctx, events, make(chan struct{})}
	start := sync.OnceFunc(func() { close(e.started) })
	if !e.OnStart(start) {
		start()
	}
	return e
}

// Context returns the context of the configuration, which never ends.
func (e Emitter) Context() caddy.Context { return e.ctx }

// Started returns a channel that is closed when all apps of the configuration have started.
// Events before that have no subscribers. A configuration that is only validated never
// starts.
func (e Emitter) Started() <-chan struct{} { return e.started }

// OnStart calls f when Caddy has started the configuration, which is never if it is only
// validated. It reports false if there is no events app to tell.
func (e Emitter) OnStart(f func()) bool {
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

// Emit emits an event. It returns when all subscribers have handled it.
func (e Emitter) Emit(event string, data map[string]any) {
	if e.app != nil && e.app.ShouldEmit(event) {
		e.app.Emit(e.ctx, event, data)
	}
}
