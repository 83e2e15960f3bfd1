package ssechat

import (
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/parking"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// hubs holds the hubs, so that they outlive a reload.
var hubs = struct {
	pool *caddy.UsagePool // *openHub by hubKey

	mu     sync.Mutex // guards claims, and their hubs
	claims []*claim   // the oldest in front
}{pool: caddy.NewUsagePool()}

// hubKey is what makes handlers share a hub: its name, and where its messages
// are kept. Nothing that can be tuned is part of it.
type hubKey struct{ name, place string }

// openHub is a hub in the pool, and where its streams are parked.
type openHub struct {
	*hub.Hub
	lot *parking.Lot
}

// Destruct implements [caddy.Destructor].
func (h *openHub) Destruct() error {
	h.lot.Close()
	return h.Close()
}

// findHub returns the hub of that name that serves now, or nil. While one
// configuration replaces another, which has the hub in another place, both are
// open.
func findHub(name string) *claim {
	var found *claim
	for _, c := range openHubs() {
		if c.key.name == name {
			found = c
		}
	}
	return found
}

// openHubs returns a claim of each hub that serves now, of those of one name
// the one that is in force.
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

// hubsOf returns a claim of each hub of a configuration.
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

// configInForce returns the configuration that is active, or, because none is
// once Caddy stops, the last one that uses a hub.
func configInForce(h *openHub) (caddy.Context, bool) {
	if active := caddy.ActiveContext(); active.Context != nil {
		return active, true
	}
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	for _, c := range slices.Backward(hubs.claims) {
		if c.hub == h {
			return c.by.events.ctx, true
		}
	}
	return caddy.Context{}, false
}

// claim is one handler's use of a hub. The handlers of a running
// configuration agree on what a hub keeps. A configuration that is still
// being loaded has no say, because it may be rejected.
type claim struct {
	key    hubKey
	config any // tells the handlers of one configuration from those of another
	limits store.Limits
	by     *Handler
	hub    *openHub // nil until it is open
}

// leaving reports whether the handler has been replaced, or its server exits.
func (c *claim) isStopping() bool { return c.by.stopping.Load() != nil }

// claimHub gives a handler its hub. The claim must be released.
func claimHub(by *Handler, config any, limits store.Limits, module store.Module) (*claim, error) {
	key := hubKey{by.Hub, module.Place()}
	c := &claim{key: key, config: config, limits: limits, by: by}
	if err := c.register(); err != nil {
		return nil, err
	}
	value, loaded, err := hubs.pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		b, err := hub.Open(limits, func(to store.Hub, limits store.Limits) (store.Store, error) {
			return module.Open(key.name, to, limits)
		})
		if err != nil {
			return nil, err
		}
		return &openHub{b, parking.NewLot(b)}, nil
	})
	if err != nil {
		c.unregister()
		return nil, fmt.Errorf("hub %q: %w", key.name, err)
	}
	hubs.mu.Lock()
	c.hub = value.(*openHub)
	hubs.mu.Unlock()
	if !loaded {
		go c.watchHealth()
	}
	return c, nil
}

// register adds the claim, unless another one of its configuration wants
// something else of the same hub.
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
	}
	hubs.claims = append(hubs.claims, c)
	return nil
}

func (c *claim) unregister() {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	hubs.claims = slices.DeleteFunc(hubs.claims, func(other *claim) bool { return other == c })
}

// release gives the hub back. If only one configuration is left that uses it,
// what that one wants is now in force.
func (c *claim) release() error {
	c.unregister()
	if rest := c.successor(); rest != nil {
		rest.hub.Limit(rest.limits)
	}
	_, err := hubs.pool.Delete(c.key)
	return err
}

// successor returns a claim of the same hub if all that are left agree.
func (c *claim) successor() *claim {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	var rest *claim
	for _, other := range hubs.claims {
		if other.key != c.key || other.hub == nil {
			continue
		}
		if rest != nil && rest.config != other.config {
			return nil
		}
		rest = other
	}
	return rest
}

// watchHealth tells how the store is until the hub is closed. It begins when the
// configuration has started, or nobody would hear of a store that was down from
// the beginning.
func (c *claim) watchHealth() {
	select {
	case <-c.by.events.started:
		c.hub.WatchStore(func(fault error) { tellHealth(c.key, fault) })
	case <-c.hub.Done():
	}
}

// claimOn returns a claim of a hub, one that is in force if there is one, or nil.
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

// tellHealth logs and emits an event when writing to a hub's store begins to
// fail, and when it ceases to.
func tellHealth(key hubKey, fault error) {
	c := claimOn(key)
	if c == nil {
		return
	}
	hub, place := zap.String("hub", key.name), zap.String("store", key.place)
	if fault == nil {
		c.by.logger.Info("the store can be written to again", hub, place)
		c.by.events.emit(eventStoreUp, map[string]any{"hub": key.name})
	} else {
		c.by.logger.Error("the store cannot be written to; publishers get 503 until it can", hub, place, zap.Error(fault))
		c.by.events.emit(eventStoreDown, map[string]any{"hub": key.name, "error": fault.Error()})
	}
}
