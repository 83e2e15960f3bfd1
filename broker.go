package ssechat

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/events"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/inuse"
	"github.com/sse-chat/caddy-sse-chat/internal/parking"
	"github.com/sse-chat/caddy-sse-chat/internal/push"
	"github.com/sse-chat/caddy-sse-chat/internal/webhook"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// hubs holds all open hubs, which outlive reloads.
var hubs = struct {
	pool *caddy.UsagePool // *openHub by hubKey

	mu     sync.Mutex // guards claims and their hub fields
	claims []*claim   // oldest first
}{pool: caddy.NewUsagePool()}

// hubKey identifies a hub: its name, and where its messages are stored. Handlers
// with the same key share the hub. Nothing that can be tuned is part of it.
type hubKey struct{ name, place string }

// openHub is a hub in the pool with its parked streams and its webhook.
type openHub struct {
	*hub.Hub
	lot     *parking.Lot
	webhook *webhook.Sender
	push    atomic.Pointer[push.Sender] // nil while no handler has the option
}

// Destruct implements [caddy.Destructor].
func (h *openHub) Destruct() error {
	h.lot.Close()
	h.webhook.Close()
	return h.Close()
}

// findHub returns a claim on the hub of that name that serves now, or nil. While a
// configuration with the hub in another store replaces one, both hubs are open.
func findHub(name string) *claim {
	var found *claim
	for _, c := range openHubs() {
		if c.key.name == name {
			found = c
		}
	}
	return found
}

// openHubs returns a claim on each hub that serves now. Of several hubs with one
// name it is the one in force.
func openHubs() []*claim {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	var open []*claim
	for _, c := range hubs.claims {
		if c.hub == nil {
			continue
		}
		i := slices.IndexFunc(open, func(other *claim) bool { return other.key.name == c.key.name })
		switch {
		case i < 0:
			open = append(open, c)
		case open[i].isStopping() && !c.isStopping():
			open[i] = c
		}
	}
	return open
}

// hubsOf returns a claim on each hub of a configuration.
func hubsOf(config any) []*claim {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	var of []*claim
	for _, c := range hubs.claims {
		if c.config != config || c.hub == nil {
			continue
		}
		if !slices.ContainsFunc(of, func(other *claim) bool { return other.key == c.key }) {
			of = append(of, c)
		}
	}
	return of
}

// configInForce returns the active configuration. There is none once Caddy stops;
// then it is the last one that uses the hub.
func configInForce(h *openHub) (caddy.Context, bool) {
	if active := caddy.ActiveContext(); active.Context != nil {
		return active, true
	}
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	for _, c := range slices.Backward(hubs.claims) {
		if c.hub == h {
			return c.events.Context(), true
		}
	}
	return caddy.Context{}, false
}

// claim is one handler's use of a hub. The handlers of a running configuration
// agree on the hub's limits. A configuration that is still being loaded does not
// change them, because it may be rejected.
type claim struct {
	key    hubKey
	config any // identifies the configuration
	limits store.Limits
	hub    *openHub // nil until the hub is open
	// webhook is nil if the handler does not have the option. Others of its configuration
	// may have it for the same hub.
	webhook *webhook.Target

	// of the handler
	logger   *zap.Logger
	events   events.Emitter
	stopping *atomic.Pointer[string] // nil while it serves
}

// isStopping reports whether the handler has been replaced or its server exits.
func (c *claim) isStopping() bool { return c.stopping.Load() != nil }

// open opens the hub, or shares it if it is open. After success the claim must be
// released.
func (c *claim) open(module store.Module) error {
	if err := c.register(); err != nil {
		return err
	}
	value, loaded, err := hubs.pool.LoadOrNew(c.key, func() (caddy.Destructor, error) {
		var opened store.Store
		b, err := hub.Open(c.limits, func(to store.Hub, limits store.Limits) (_ store.Store, err error) {
			opened, err = module.Open(c.key.name, to, limits)
			return opened, err
		})
		if err != nil {
			return nil, err
		}
		return &openHub{Hub: b, lot: parking.NewLot(b), webhook: webhook.New(b, opened, webhookReports(c.key))}, nil
	})
	if err != nil {
		c.unregister()
		return fmt.Errorf("hub %q: %w", c.key.name, err)
	}
	hubs.mu.Lock()
	c.hub = value.(*openHub)
	hubs.mu.Unlock()
	if !loaded {
		go c.watch()
	}
	return nil
}

// register adds the claim, unless another claim of its configuration wants a
// different store, limits or webhook for the same hub.
func (c *claim) register() error {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	for _, other := range hubs.claims {
		if other.config != c.config || other.key.name != c.key.name {
			continue
		}
		if other.key.place != c.key.place {
			return fmt.Errorf("hub %q: its sites differ in the store: %s and %s", c.key.name, other.key.place, c.key.place)
		}
		if other.limits != c.limits {
			return fmt.Errorf("hub %q: its sites differ in retain, max_rooms or max_size", c.key.name)
		}
		if other.webhook != nil && c.webhook != nil && *other.webhook != *c.webhook {
			return fmt.Errorf("hub %q: its sites differ in webhook; only one of them needs it", c.key.name)
		}
	}
	hubs.claims = append(hubs.claims, c)
	return nil
}

func (c *claim) unregister() {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	hubs.claims = slices.DeleteFunc(hubs.claims, func(other *claim) bool { return other == c })
}

// release gives up the hub. If all remaining claims are of one configuration, its
// limits are now in force, and so is its webhook. At an exit the remaining claims are of the
// same configuration.
func (c *claim) release() error {
	c.unregister()
	if rest := c.successor(); rest != nil {
		rest.hub.Limit(rest.limits)
		if rest.config != c.config {
			directWebhook(c.key)
		}
	}
	_, err := hubs.pool.Delete(c.key)
	return err
}

// successor returns a claim on the same hub if all remaining ones are of one
// configuration.
func (c *claim) successor() *claim {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	rest := claimsOfOneConfig(c.key)
	if len(rest) == 0 {
		return nil
	}
	return rest[len(rest)-1]
}

// claimsOfOneConfig returns the claims on an open hub, or nil if they are of several
// configurations. The caller holds hubs.mu.
func claimsOfOneConfig(key hubKey) (claims []*claim) {
	for _, c := range hubs.claims {
		if c.key != key || c.hub == nil {
			continue
		}
		if len(claims) > 0 && claims[0].config != c.config {
			return nil
		}
		claims = append(claims, c)
	}
	return claims
}

// watch starts the webhook, and reports transitions of the store's health until the hub
// is closed. It waits for the configuration to start: it may be rejected before that, and
// nobody would hear that the store is down.
func (c *claim) watch() {
	select {
	case <-c.events.Started():
		directWebhook(c.key)
		c.hub.WatchStore(func(fault error) { reportHealth(c.key, fault) })
	case <-c.hub.Done():
	}
}

// claimOn returns a claim on a hub, preferably one in force, or nil.
func claimOn(key hubKey) (found *claim) {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	for _, c := range hubs.claims {
		if c.key == key && c.hub != nil && (found == nil || found.isStopping()) {
			found = c
		}
	}
	return found
}

// reportHealth logs and emits an event when writes to a hub's store begin to fail,
// and when they succeed again.
func reportHealth(key hubKey, fault error) {
	c := claimOn(key)
	if c == nil {
		return
	}
	hub, place := zap.String("hub", key.name), zap.String("store", key.place)
	if fault == nil {
		c.logger.Info("the store can be written to again", hub, place)
		c.events.Emit(events.StoreUp, map[string]any{"hub": key.name})
	} else {
		c.logger.Error("the store cannot be written to; publishers get 503 until it can", hub, place, zap.Error(fault))
		c.events.Emit(events.StoreDown, map[string]any{"hub": key.name, "error": fault.Error()})
	}
}

// warnOfSharedPorts logs a warning, once the configuration runs, if another process
// listens on an address of the server. It checks only while this process has no
// configuration, because later the addresses in use may be its own.
func warnOfSharedPorts(server *caddyhttp.Server, hub string, emitter events.Emitter, log *zap.Logger) {
	if caddy.ActiveContext().Context != nil {
		return
	}
	var shared []string
	for _, listen := range server.Listen {
		if addr, err := caddy.ParseNetworkAddress(listen); err == nil && inuse.Addr(addr) {
			shared = append(shared, listen)
		}
	}
	if shared == nil {
		return
	}
	// not when a configuration is only validated, perhaps beside the process that
	// runs it
	emitter.OnStart(func() {
		log.Warn("another process listens on the same address, so each gets some of the connections; with the store memory, neither sees the other's messages",
			zap.Strings("addresses", shared), zap.String("hub", hub))
	})
}
