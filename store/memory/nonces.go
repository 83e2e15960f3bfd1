package memory

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// nonces remembers which message came first under a nonce.
type nonces struct {
	first map[nonceKey]*store.Message
	gone  map[nonceKey]store.ID // in place of messages that were deleted
	queue []nonceEntry          // oldest first
	head  int
	bytes int // of memory, messages included
	peak  int // how many the map was made for, or has held since
}

type nonceKey struct{ room, owner, nonce string }

// size returns how many bytes a nonce takes up beside its message.
func (k nonceKey) size() int { return nonceSize + len(k.owner) + len(k.nonce) + nameSize }

type nonceEntry struct {
	key  nonceKey
	ends time.Time
}

func (n *nonces) len() int { return len(n.queue) - n.head }

// find returns the receipt of the message first stored under a nonce, or none.
// There is none under the empty nonce.
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
	// copies, because these may be pieces of a whole request
	key := nonceKey{m.Room, strings.Clone(draft.Owner), strings.Clone(draft.Nonce)}
	n.first[key] = m
	n.queue = append(n.queue, nonceEntry{key, now.Add(store.NonceLife)})
	n.bytes += key.size() + m.Size()
	n.peak = max(n.peak, n.len())
}

// bury gives up the message of an id, but not its nonce. It returns the
// message's room, and false if there is no such message.
func (n *nonces) bury(id store.ID) (room string, found bool) {
	entries := n.queue[n.head:]
	i, found := slices.BinarySearchFunc(entries, id, func(e nonceEntry, id store.ID) int {
		return n.find(e.key.room, e.key.owner, e.key.nonce).ID.Compare(id)
	})
	if !found || !n.buryKey(entries[i].key) {
		return "", false
	}
	return entries[i].key.room, true
}

// buryRoom gives up all messages of a room.
func (n *nonces) buryRoom(name string) {
	for _, e := range n.queue[n.head:] {
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
	} else if _, gone := n.gone[key]; gone {
		n.bytes -= key.size()
		delete(n.gone, key)
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
