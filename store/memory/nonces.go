package memory

import (
	"maps"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// nonces remembers which message came first under a nonce.
type nonces struct {
	first map[nonceKey]*store.Message
	queue []nonceEntry // oldest first
	head  int
	bytes int // of memory, messages included
	peak  int // how many the map was made for, or has held since
}

type nonceKey struct{ room, nonce string }

// size returns how many bytes a nonce takes up beside its message.
func (k nonceKey) size() int { return nonceSize + len(k.nonce) + nameSize }

type nonceEntry struct {
	key  nonceKey
	ends time.Time
}

func (n *nonces) len() int { return len(n.queue) - n.head }

// find returns the message first stored under a nonce, or nil. There is none
// under the empty nonce.
func (n *nonces) find(room, nonce string) *store.Message {
	return n.first[nonceKey{room, nonce}]
}

func (n *nonces) add(nonce string, m *store.Message, now time.Time) {
	if nonce == "" {
		return
	}
	if n.first == nil {
		n.first = make(map[nonceKey]*store.Message)
	}
	// a copy, because nonce may be a piece of a whole request
	key := nonceKey{m.Room, strings.Clone(nonce)}
	n.first[key] = m
	n.queue = append(n.queue, nonceEntry{key, now.Add(store.NonceLife)})
	n.bytes += key.size() + m.Size()
	n.peak = max(n.peak, n.len())
}

// expire forgets what is older than [store.NonceLife].
func (n *nonces) expire(now time.Time) {
	for n.head < len(n.queue) && !n.queue[n.head].ends.After(now) {
		n.shift()
	}
}

// shrink gives back the memory of nonces that are gone: a map never shrinks.
func (n *nonces) shrink() {
	if n.len() > n.peak/4 {
		return
	}
	first := make(map[nonceKey]*store.Message, n.len())
	maps.Copy(first, n.first)
	n.first, n.peak = first, n.len()
}

func (n *nonces) shift() {
	key := n.queue[n.head].key
	n.queue[n.head] = nonceEntry{}
	n.head++
	if m := n.first[key]; m != nil {
		n.bytes -= key.size() + m.Size()
		delete(n.first, key)
	}
	if n.len() == 0 {
		*n = nonces{} // a map never shrinks
	}
	// move the rest to the front when more than half is empty
	if n.head > 1024 && n.head > len(n.queue)/2 {
		n.queue = append([]nonceEntry(nil), n.queue[n.head:]...)
		n.head = 0
		n.shrink()
	}
}
