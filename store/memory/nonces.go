package memory

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/fifo"
)

// nonces remembers the first message of each nonce.
type nonces struct {
	first map[nonceKey]*store.Message
	gone  map[nonceKey]store.ID // the ids of first messages that were deleted
	queue fifo.Queue[nonceEntry]
	bytes int // of memory, including messages
	peak  int // the most nonces that the map has held since it was made
}

type nonceKey struct{ room, owner, nonce string }

// size returns how many bytes of memory a nonce uses besides its message.
func (k nonceKey) size() int { return nonceSize + len(k.owner) + len(k.nonce) + nameSize }

type nonceEntry struct {
	key  nonceKey
	ends time.Time
}

// find returns the receipt of the first message of a nonce. Its Repeat is false
// if there is none. The empty nonce has none.
func (n *nonces) find(room, owner, nonce string) store.Receipt {
	key := nonceKey{room, owner, nonce}
	if m := n.first[key]; m != nil {
		return store.Receipt{ID: m.ID, Message: m, Repeat: true}
	}
	id, ok := n.gone[key]
	return store.Receipt{ID: id, Repeat: ok}
}

func (n *nonces) add(draft store.Draft, m *store.Message, now time.Time) {
	if draft.Nonce == "" {
		return
	}
	if n.first == nil {
		n.first = make(map[nonceKey]*store.Message)
	}
	// clone the strings, because they may be slices of a whole request
	key := nonceKey{m.Room, strings.Clone(draft.Owner), strings.Clone(draft.Nonce)}
	n.first[key] = m
	n.queue.Push(nonceEntry{key, now.Add(store.NonceLife)})
	n.bytes += key.size() + m.Size()
	n.peak = max(n.peak, n.queue.Len())
}

// bury forgets the message with that id, but not its nonce. It returns the
// message's room, and false if there is no such message.
func (n *nonces) bury(id store.ID) (room string, found bool) {
	entries := n.queue.All()
	i, found := slices.BinarySearchFunc(entries, id, func(e nonceEntry, id store.ID) int {
		return n.find(e.key.room, e.key.owner, e.key.nonce).ID.Compare(id)
	})
	if !found || !n.buryKey(entries[i].key) {
		return "", false
	}
	return entries[i].key.room, true
}

// buryRoom forgets all messages of a room, but not their nonces.
func (n *nonces) buryRoom(name string) {
	for _, e := range n.queue.All() {
		if e.key.room == name {
			n.buryKey(e.key)
		}
	}
}

func (n *nonces) buryKey(key nonceKey) bool {
	m := n.first[key]
	if m == nil {
		return false
	}
	if n.gone == nil {
		n.gone = make(map[nonceKey]store.ID)
	}
	n.gone[key] = m.ID
	n.bytes -= m.Size()
	delete(n.first, key)
	return true
}

// expire forgets the nonces that are older than [store.NonceLife].
func (n *nonces) expire(now time.Time) {
	for n.queue.Len() > 0 && !n.queue.All()[0].ends.After(now) {
		n.shift()
	}
}

// shift forgets the oldest nonce; there must be one.
func (n *nonces) shift() {
	key := n.queue.Shift().key
	if m := n.first[key]; m != nil {
		n.bytes -= key.size() + m.Size()
		delete(n.first, key)
	} else if _, gone := n.gone[key]; gone {
		n.bytes -= key.size()
		delete(n.gone, key)
	}
	n.shrink()
}

// shrink frees the memory of nonces that are gone, because a map never shrinks.
func (n *nonces) shrink() {
	switch {
	case n.queue.Len() == 0:
		*n = nonces{}
	case n.peak >= 1024 && n.queue.Len() <= n.peak/4:
		first := make(map[nonceKey]*store.Message, n.queue.Len())
		maps.Copy(first, n.first)
		n.first, n.peak = first, n.queue.Len()
	}
}
