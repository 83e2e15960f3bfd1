package memory

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/fifo"
)

// nonces remembers the first message of each nonce, and the changes that were made
// under a nonce.
type nonces struct {
	first map[nonceKey]*store.Message
	gone  map[nonceKey]store.ID // the ids of first messages that were deleted
	made  map[nonceKey]struct{} // changes
	queue fifo.Queue[nonceEntry]
	bytes int // of memory, including messages
	peak  int // the most nonces that the maps have held since they were made
}

// nonceKey is a nonce, of a message or of the change of one.
type nonceKey struct {
	room  string
	owner store.Owner
	nonce string
	// changed is the message that is changed; zero for the nonce of a message.
	changed store.ID
}

// size returns how many bytes of memory a nonce uses besides its message.
func (k nonceKey) size() int { return nonceSize + len(k.owner) + len(k.nonce) + nameSize }

type nonceEntry struct {
	key  nonceKey
	at   store.ID // of the first message, or as in addChange
	ends time.Time
}

// find returns the receipt of the first message of a nonce. Its Repeat is false
// if there is none. The empty nonce has none.
func (n *nonces) find(room string, owner store.Owner, nonce string) store.Receipt {
	key := nonceKey{room: room, owner: owner, nonce: nonce}
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
	// clone the string, because it may be a slice of a whole request
	key := nonceKey{room: m.Room, owner: m.Owner, nonce: strings.Clone(draft.Nonce)}
	n.first[key] = m
	n.queue.Push(nonceEntry{key, m.ID, now.Add(store.NonceLife)})
	n.bytes += key.size() + m.Size()
	n.peak = max(n.peak, n.queue.Len())
}

// addChange remembers that a change was made, if it has a nonce. at is the revision, or the
// newest id if the change had no effect.
func (n *nonces) addChange(key nonceKey, at store.ID, now time.Time) {
	if key.nonce == "" {
		return
	}
	if n.made == nil {
		n.made = make(map[nonceKey]struct{})
	}
	key.owner, key.nonce = store.Owner(strings.Clone(string(key.owner))), strings.Clone(key.nonce)
	n.made[key] = struct{}{}
	n.queue.Push(nonceEntry{key, at, now.Add(store.NonceLife)})
	n.bytes += key.size()
	n.peak = max(n.peak, n.queue.Len())
}

// changed reports whether a change was made before.
func (n *nonces) changed(key nonceKey) bool {
	_, made := n.made[key]
	return made
}

// replace replaces the first message of a nonce by what it is now.
func (n *nonces) replace(m *store.Message, nonce string) {
	key := nonceKey{room: m.Room, owner: m.Owner, nonce: nonce}
	if first := n.first[key]; first != nil && first.ID == m.ID {
		n.first[key] = m
		n.bytes += m.Size() - first.Size()
	}
}

// message returns the message with that id that is kept for its nonce, or nil.
func (n *nonces) message(id store.ID) *store.Message {
	if i, found := n.entry(id); found {
		return n.first[n.queue.All()[i].key]
	}
	return nil
}

// bury forgets the message with that id, if there is one, but not its nonce.
func (n *nonces) bury(id store.ID) {
	if i, found := n.entry(id); found {
		n.buryKey(n.queue.All()[i].key)
	}
}

// entry returns the index in the queue of the nonce with that id: that of the message, if
// there is one.
func (n *nonces) entry(at store.ID) (int, bool) {
	return slices.BinarySearchFunc(n.queue.All(), at, func(e nonceEntry, at store.ID) int { return e.at.Compare(at) })
}

// buryRoom forgets all messages of a room, but not their nonces.
func (n *nonces) buryRoom(name string) {
	for _, e := range n.queue.All() {
		if e.key.room == name {
			n.buryKey(e.key)
		}
	}
}

func (n *nonces) buryKey(key nonceKey) {
	m := n.first[key]
	if m == nil {
		return
	}
	if n.gone == nil {
		n.gone = make(map[nonceKey]store.ID)
	}
	n.gone[key] = m.ID
	n.bytes -= m.Size()
	delete(n.first, key)
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
	} else if n.changed(key) {
		n.bytes -= key.size()
		delete(n.made, key)
	}
	n.shrink()
}

// shrink frees the memory of nonces that are gone, because a map never shrinks.
func (n *nonces) shrink() {
	switch {
	case n.queue.Len() == 0:
		*n = nonces{}
	case n.peak >= 1024 && n.queue.Len() <= n.peak/4:
		first, made := make(map[nonceKey]*store.Message, len(n.first)), make(map[nonceKey]struct{}, len(n.made))
		maps.Copy(first, n.first)
		maps.Copy(made, n.made)
		n.first, n.made, n.peak = first, made, n.queue.Len()
	}
}
