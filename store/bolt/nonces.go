package bolt

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What is kept for nonces at most, so that no flood of them fills the disk or
// the memory; the oldest go first.
const (
	maxNonces     = 1_000_000
	maxNonceBytes = 1 << 30 // of messages
)

// nonces knows where in noncesBucket the message lies that came first under a
// nonce. A message is kept there too, because retention may take away the one
// in its room.
type nonces struct {
	seed   maphash.Seed
	loaded chan struct{} // closed when what an earlier process left is known

	mu     sync.Mutex // guards all below
	first  map[uint64]store.ID
	queue  []nonceEntry // oldest first
	head   int
	bytes  int
	steady steady
}

type nonceKey struct{ room, nonce string }

type nonceEntry struct {
	hash uint64
	id   store.ID
	size int
}

func (n *nonces) init() {
	n.seed, n.loaded, n.first = maphash.MakeSeed(), make(chan struct{}), make(map[uint64]store.ID)
}

// hash stands for a key. That two have the same is so rare that it may cost
// one of them its place; it is never taken for the other.
func (n *nonces) hash(key nonceKey) uint64 { return maphash.Comparable(n.seed, key) }

// find returns the id of the message that may be the first under a nonce.
func (n *nonces) find(key nonceKey, now time.Time) (store.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.first[n.hash(key)]
	return id, ok && id.Ms > n.steady.ago(store.NonceLife, now)
}

func (n *nonces) add(e nonceEntry) {
	n.first[e.hash] = e.id
	n.queue = append(n.queue, e)
	n.bytes += e.size
}

// over returns the ids of the oldest entries that are over, or too many.
func (n *nonces) over(now time.Time, most int) (ids []store.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	left, bytes, cutoff := len(n.queue)-n.head, n.bytes, n.steady.ago(store.NonceLife, now)
	for _, e := range n.queue[n.head:] {
		if len(ids) == most || left <= maxNonces && bytes <= maxNonceBytes && e.id.Ms > cutoff {
			break
		}
		ids = append(ids, e.id)
		left--
		bytes -= e.size
	}
	return ids
}

// commit takes over what a transaction has done.
func (n *nonces) commit(tx *transaction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range tx.expired {
		e := n.queue[n.head]
		n.head++
		n.bytes -= e.size
		if n.first[e.hash] == e.id {
			delete(n.first, e.hash)
		}
	}
	switch {
	case n.head == len(n.queue):
		n.queue, n.head = nil, 0
		n.first = make(map[uint64]store.ID) // a map never shrinks
	case n.head > 1024 && n.head > len(n.queue)/2:
		n.queue, n.head = append([]nonceEntry(nil), n.queue[n.head:]...), 0
	}
	for _, e := range tx.kept {
		n.add(e)
	}
}

// loadNonces reads what an earlier process left. Until it is done no message
// is stored, or a repeat of one might be stored again.
func (s *Store) loadNonces() {
	const page = 4096
	defer close(s.nonces.loaded)
	for after := []byte{}; after != nil; {
		// also when the store is closed meanwhile: some may still wait
		err := s.read(func(tx *bbolt.Tx) error {
			c := tx.Bucket(noncesBucket).Cursor()
			n := 0
			key, value := c.Seek(after)
			for after = nil; key != nil; key, value = c.Next() {
				if n++; n > page {
					after = append([]byte{}, key...)
					return nil
				}
				room, draft, err := decodeNonce(key, value)
				if err != nil {
					return err
				}
				s.nonces.mu.Lock()
				s.nonces.add(nonceEntry{s.nonces.hash(nonceKey{room, draft.Nonce}), decodeID(key), len(value)})
				s.nonces.mu.Unlock()
			}
			return nil
		})
		if err != nil {
			return // it was noted, and nothing can be stored
		}
	}
}

// decodeNonce reads a value of noncesBucket.
func decodeNonce(key, value []byte) (room string, draft store.Draft, err error) {
	payload, err := unseal(key, value)
	if err == nil && len(key) != idLen {
		err = errLength
	}
	if err != nil {
		return "", draft, err
	}
	room, rest, err := cutString(string(payload))
	if err != nil {
		return "", draft, err
	}
	draft, err = decodeDraft([]byte(rest))
	return room, draft, err
}

// firstUnder returns the message of that id if it came under that nonce.
func firstUnder(tx *bbolt.Tx, id store.ID, key nonceKey) (*store.Message, error) {
	at := appendID(nil, id)
	value := tx.Bucket(noncesBucket).Get(at)
	if value == nil {
		return nil, nil
	}
	room, draft, err := decodeNonce(at, value)
	if err != nil || room != key.room || draft.Nonce != key.nonce {
		return nil, err
	}
	return store.NewMessage(id, room, draft), nil
}

// Find implements [store.Store].
func (s *Store) Find(ctx context.Context, room, nonce string) (*store.Message, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	select {
	case <-s.nonces.loaded:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	key := nonceKey{room, nonce}
	id, ok := s.nonces.find(key, s.now())
	if !ok {
		return nil, nil
	}
	return look(ctx, s, func(tx *bbolt.Tx) (*store.Message, error) { return firstUnder(tx, id, key) })
}

// first returns the message that came first under a nonce of a room, or nil.
func (tx *transaction) first(room, nonce string) (*store.Message, error) {
	if nonce == "" {
		return nil, nil
	}
	key := nonceKey{room, nonce}
	if m := tx.fresh[key]; m != nil {
		return m, nil
	}
	id, ok := tx.store.nonces.find(key, tx.now)
	if !ok {
		return nil, nil
	}
	return firstUnder(tx.bolt, id, key)
}

// keepNonce keeps a message for as long as its nonce is known. draft is what
// it is made of.
func (tx *transaction) keepNonce(m *store.Message, nonce string, draft []byte) error {
	if nonce == "" {
		return nil
	}
	b := tx.bolt.Bucket(noncesBucket)
	b.FillPercent = 1 // it grows at its end only
	at := appendID(nil, m.ID)
	value := seal(at, appendString(nil, m.Room), draft)
	if tx.fresh == nil {
		tx.fresh = make(map[nonceKey]*store.Message)
	}
	key := nonceKey{m.Room, strings.Clone(nonce)}
	tx.fresh[key] = m
	tx.kept = append(tx.kept, nonceEntry{tx.store.nonces.hash(key), m.ID, len(value)})
	tx.work++
	return b.Put(at, value)
}

// expirePerNonce is how many nonces that are over go for one that comes.
const expirePerNonce = 2

// expireNonces removes some of those that are over: more than come in.
func (tx *transaction) expireNonces() error {
	over := tx.store.nonces.over(tx.now, trailingRecords+expirePerNonce*len(tx.kept))
	tx.work += len(over)
	for _, id := range over {
		if err := tx.bolt.Bucket(noncesBucket).Delete(appendID(nil, id)); err != nil {
			return err
		}
	}
	tx.expired = len(over)
	return nil
}
