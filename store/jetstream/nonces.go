package jetstream

import (
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What one generation of nonces holds at most, so that no flood of them fills
// the memory.
const (
	maxNonces     = 500_000
	maxNonceBytes = 128 << 20 // of messages
)

// nonces remembers which message came first under a nonce, in two generations:
// when the younger one is full or old, the older one is forgotten.
type nonces struct {
	young, old map[string]*store.Message
	bytes      int // in young
	since      time.Time
}

// find returns the message that came first under a key within
// [store.NonceLife], or nil.
func (n *nonces) find(key string, now time.Time) *store.Message {
	m := n.young[key]
	if m == nil {
		m = n.old[key]
	}
	if m == nil || now.UnixMilli()-m.ID.Ms > store.NonceLife.Milliseconds() {
		return nil
	}
	return m
}

func (n *nonces) add(key string, m *store.Message, now time.Time) {
	n.expire(now)
	if len(n.young) >= maxNonces || n.bytes >= maxNonceBytes {
		n.turn(now)
	}
	if n.young == nil {
		n.young, n.since = make(map[string]*store.Message), now
	}
	n.young[key] = m
	n.bytes += len(m.Frame())
}

// expire forgets the older generation if the younger one is older than nonces
// live.
func (n *nonces) expire(now time.Time) {
	if len(n.young)+len(n.old) > 0 && now.Sub(n.since) > store.NonceLife {
		n.turn(now)
	}
}

func (n *nonces) turn(now time.Time) {
	n.young, n.old, n.bytes, n.since = nil, n.young, 0, now
}
