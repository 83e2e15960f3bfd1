package bolt

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/fifo"
)

// The most that is kept for nonces, so that a flood of them fills neither the disk
// nor the memory. Beyond that, the oldest are removed.
const (
	maxNonces     = 1_000_000
	maxNonceBytes = 1 << 30 // of messages
)

// nonces is an index of noncesBucket, which holds the first message of each nonce.
// The bucket has a copy of the message, because retention may remove the one in
// the room. A change of the message replaces both.
type nonces struct {
	seed   maphash.Seed
	loaded chan struct{} // closed when the nonces in the file have been read

	mu    sync.Mutex // guards all below
	first map[uint64]store.ID
	queue fifo.Queue[nonceEntry]
	bytes int // of records in queue
	clock nonceClock
}

// nonceKey is a nonce, of a message or of the change of one.
type nonceKey struct {
	room  string
	owner store.Owner
	nonce string
	// changed is the message that is changed; zero for the nonce of a message.
	changed store.ID
}

type nonceEntry struct {
	hash uint64
	id   store.ID
	room uint32 // a hash
	size uint32 // of the record; for a message that was deleted, as it was before
}

func (n *nonces) init() {
	n.seed, n.loaded, n.first = maphash.MakeSeed(), make(chan struct{}), make(map[uint64]store.ID)
}

// hash returns the hash of a key. If two keys have the same one, which is very
// rare, the older nonce is forgotten. It is never taken for the other, because
// receiptUnder compares the keys.
func (n *nonces) hash(key nonceKey) uint64 { return maphash.Comparable(n.seed, key) }

// hashRoom returns the hash of a room's name. For two rooms with the same hash,
// records are read in vain.
func (n *nonces) hashRoom(name string) uint32 { return uint32(maphash.String(n.seed, name)) } //nolint:gosec // a part of it

func (n *nonces) entry(key nonceKey, id store.ID, record []byte) nonceEntry {
	return nonceEntry{n.hash(key), id, n.hashRoom(key.room), uint32(len(record))} //nolint:gosec // far less than 4 GB
}

// find returns the id of the message that is probably the first of a nonce, or of the
// change that was probably made under it; see hash.
func (n *nonces) find(key nonceKey, now time.Time) (store.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.first[n.hash(key)]
	return id, ok && id.Ms > n.clock.cutoff(now)
}

// in returns the ids newer than after of nonces that are probably of a room; see
// hashRoom.
func (n *nonces) in(room string, after store.ID) (ids []store.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	hash := n.hashRoom(room)
	for _, e := range n.queue.All() {
		if e.room == hash && e.id.After(after) {
			ids = append(ids, e.id)
		}
	}
	return ids
}

func (n *nonces) add(e nonceEntry) {
	n.first[e.hash] = e.id
	n.queue.Push(e)
	n.bytes += int(e.size)
}

// over returns the ids of the oldest nonces that have expired or are too many, at
// most most.
func (n *nonces) over(now time.Time, most int) (ids []store.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	left, bytes, cutoff := n.queue.Len(), n.bytes, n.clock.cutoff(now)
	for _, e := range n.queue.All() {
		if len(ids) == most || left <= maxNonces && bytes <= maxNonceBytes && e.id.Ms > cutoff {
			break
		}
		ids = append(ids, e.id)
		left--
		bytes -= int(e.size)
	}
	return ids
}

// commit applies what a committed transaction has changed.
func (n *nonces) commit(tx *transaction) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range tx.expired {
		e := n.queue.Shift()
		n.bytes -= int(e.size)
		if n.first[e.hash] == e.id {
			delete(n.first, e.hash)
		}
	}
	if tx.expired > 0 && n.queue.Len() == 0 {
		n.first = make(map[uint64]store.ID) // because a map never shrinks
	}
	for _, e := range tx.kept {
		n.add(e)
	}
	for id, size := range tx.resized {
		all := n.queue.All()
		i, ok := slices.BinarySearchFunc(all, id, func(e nonceEntry, id store.ID) int { return e.id.Compare(id) })
		if ok {
			n.bytes += size - int(all[i].size)
			all[i].size = uint32(size) //nolint:gosec // far less than 4 GB
		}
	}
}

// loadNonces reads the nonces that are in the file. No message may be stored before
// that, because it might be a repeat.
func (s *Store) loadNonces() {
	const page = 4096
	defer close(s.nonces.loaded)
	for after := []byte{}; after != nil; {
		// not view: changes that wait when the store is closed are still made
		err := s.read(func(tx *bbolt.Tx) error {
			c := tx.Bucket(noncesBucket).Cursor()
			n := 0
			key, value := c.Seek(after)
			for after = nil; key != nil; key, value = c.Next() {
				if n++; n > page {
					after = append([]byte{}, key...)
					return nil
				}
				r, err := decodeNonce(key, value)
				if err != nil {
					return err
				}
				s.nonces.mu.Lock()
				s.nonces.add(s.nonces.entry(r.key(), decodeID(key), value))
				s.nonces.mu.Unlock()
			}
			return nil
		})
		if err != nil {
			return // read has taken the store out of service
		}
	}
}

// receiptUnder returns the receipt of the message with that id if key is its nonce.
// Otherwise the receipt's Repeat is false.
func receiptUnder(tx *bbolt.Tx, id store.ID, key nonceKey) (store.Receipt, error) {
	at := appendID(nil, id)
	value := tx.Bucket(noncesBucket).Get(at)
	if value == nil {
		return store.Receipt{}, nil
	}
	r, err := decodeNonce(at, value)
	if err != nil || r.key() != key {
		return store.Receipt{}, err
	}
	if r.deleted || !key.changed.IsZero() {
		return store.Receipt{ID: id, Repeat: true}, nil
	}
	return store.Receipt{ID: id, Message: store.NewPost(id, r.room, r.post), Repeat: true}, nil
}

// Find implements [store.Store].
func (s *Store) Find(ctx context.Context, room string, owner store.Owner, nonce string) (first store.Receipt, err error) {
	if err := s.usable(); err != nil {
		return first, err
	}
	select {
	case <-s.nonces.loaded:
	case <-ctx.Done():
		return first, ctx.Err()
	}
	key := nonceKey{room: room, owner: owner, nonce: nonce}
	id, ok := s.nonces.find(key, s.now())
	if !ok {
		return first, nil
	}
	return viewUntil(ctx, s, func(tx *bbolt.Tx) (store.Receipt, error) { return receiptUnder(tx, id, key) })
}

// nonceClock computes which nonces have expired, even if the machine's clock is
// set. The zero nonceClock is ready to use. It is not safe for concurrent use.
//
// Ids have the time of the machine's clock. If that is set forward, it would seem
// as if nonces had expired too early. So a forward step is counted only after a
// whole [store.NonceLife], when the nonces from before the step have expired
// anyway. A step back counts at once.
type nonceClock struct {
	began   time.Time     // the first time that was seen
	counted time.Duration // by how much the clock was set since began, as far as it is counted
	lowest  time.Duration // the lowest such value from since until now; it is counted next
	since   time.Time
}

// cutoff returns the time one [store.NonceLife] before now, in Unix milliseconds as
// in ids: nonces of that time or earlier have expired. now must have a reading of
// the monotonic clock.
func (c *nonceClock) cutoff(now time.Time) int64 {
	if c.began.IsZero() {
		c.began = now
	}
	// Round(0) removes the reading of the monotonic clock
	set := now.Round(0).Sub(c.began.Round(0)) - now.Sub(c.began)
	c.lowest = min(c.lowest, set)
	if c.counted >= c.lowest || now.Sub(c.since) >= store.NonceLife {
		c.counted = c.lowest
		c.lowest, c.since = set, now
	}
	return now.Add(c.counted - set - store.NonceLife).UnixMilli()
}
