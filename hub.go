package ssechat

import (
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// hubs holds the brokers, so that they outlive a reload.
var hubs = struct {
	pool *caddy.UsagePool // *hub by hubKey

	mu     sync.Mutex // guards claims
	claims map[*claim]struct{}
}{
	pool:   caddy.NewUsagePool(),
	claims: make(map[*claim]struct{}),
}

// hubKey is what makes handlers share a hub: its name, and where its messages
// are kept. Nothing that can be tuned is part of it.
type hubKey struct{ name, place string }

// hub is a broker in the pool.
type hub struct{ *broker }

// Destruct implements [caddy.Destructor].
func (h hub) Destruct() error { return h.close() }

// claim is one handler's use of a hub. The handlers of a running
// configuration agree on what a hub keeps. A configuration that is still
// being loaded has no say, because it may be rejected.
type claim struct {
	key    hubKey
	config any // tells the handlers of one configuration from those of another
	limits store.Limits
	broker *broker
}

// claimHub gives a handler its hub. The claim must be released.
func claimHub(key hubKey, config any, limits store.Limits, module store.Module) (*claim, error) {
	c := &claim{key: key, config: config, limits: limits}
	if err := c.register(); err != nil {
		return nil, err
	}
	value, _, err := hubs.pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		b, err := openBroker(limits, func(to store.Hub, limits store.Limits) (store.Store, error) {
			return module.Open(key.name, to, limits)
		})
		return hub{b}, err
	})
	if err != nil {
		c.unregister()
		return nil, fmt.Errorf("hub %q: %w", key.name, err)
	}
	hubs.mu.Lock()
	c.broker = value.(hub).broker
	hubs.mu.Unlock()
	return c, nil
}

// register adds the claim, unless another one of its configuration wants
// something else of the same hub.
func (c *claim) register() error {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	for other := range hubs.claims {
		if other.config != c.config || other.key.name != c.key.name {
			continue
		}
		if other.key.place != c.key.place {
			return fmt.Errorf("hub %q: one site has its store %s, another %s", c.key.name, other.key.place, c.key.place)
		}
		if other.limits != c.limits {
			return fmt.Errorf("hub %q: its sites differ in retain or max_rooms", c.key.name)
		}
	}
	hubs.claims[c] = struct{}{}
	return nil
}

func (c *claim) unregister() {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	delete(hubs.claims, c)
}

// release gives the hub back. If only one configuration is left that uses it,
// what that one wants is now in force.
func (c *claim) release() error {
	c.unregister()
	if rest := c.successor(); rest != nil {
		rest.broker.limit(rest.limits)
	}
	_, err := hubs.pool.Delete(c.key)
	return err
}

// successor returns a claim of the same hub if all that are left agree.
func (c *claim) successor() *claim {
	hubs.mu.Lock()
	defer hubs.mu.Unlock()
	var rest *claim
	for other := range hubs.claims {
		if other.key != c.key || other.broker == nil {
			continue
		}
		if rest != nil && rest.config != other.config {
			return nil
		}
		rest = other
	}
	return rest
}
