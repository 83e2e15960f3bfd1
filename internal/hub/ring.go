package hub

import (
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// push appends a message to the ring. It returns by how many bytes the ring grew,
// which may be negative, and whether it has to be trimmed later. all is the size of
// all rings.
func (r *room) push(m *store.Message, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	after := r.floor
	if n := r.ring.Len(); n > 0 {
		after = r.ring.At(n - 1).ID
	}
	r.ring.Push(m)
	r.tip.Store(&tip{m, after})
	r.shorten(bounds, all, m.ID.Ms)
	return int64(r.ring.Bytes() - before), bounds.oversized(&r.ring)
}

// trim shortens the ring like push does, when nothing is published any more.
func (r *room) trim(bounds *bounds, all, nowMs int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.shorten(bounds, all, nowMs)
	return int64(r.ring.Bytes() - before), bounds.oversized(&r.ring)
}

// shorten drops messages while the ring is too long. The caller holds mu.
func (r *room) shorten(bounds *bounds, all, nowMs int64) {
	for bounds.tooLong(&r.ring, all, nowMs) {
		r.floor = r.ring.Shift().ID
	}
}

// release frees the memory of messages up to an id that the store no longer holds.
// Unlike forget it does not send readers to the store that lack only newer
// messages.
func (r *room) release(through store.ID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	if tip := r.tip.Load(); tip != nil && !tip.message.ID.After(through) {
		r.tip.Store(nil)
	}
	r.dropThrough(through)
	return int64(r.ring.Bytes() - before)
}

// dropThrough drops the messages up to an id. The caller holds mu.
func (r *room) dropThrough(through store.ID) {
	for r.ring.Len() > 0 && !r.ring.At(0).ID.After(through) {
		r.ring.Shift()
	}
	r.floor = store.Newest(r.floor, through)
}

// clear empties the rings. It returns by how many bytes they grew.
func (r *room) clear() (grown int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	grown = -int64(r.ring.Bytes() + r.notices.Size())
	r.ring.Clear()
	r.notices.Clear()
	r.tip.Store(nil)
	return grown
}

// retained returns the newest id that limits no longer retain. Clients that resume
// before it need the store, because the ring holds older messages only for readers
// that stayed connected.
func (r *room) retained(limits store.Limits, nowMs int64) store.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := max(0, r.ring.Len()-limits.Count)
	if limits.Age > 0 {
		from = max(from, r.ring.After(store.ID{Ms: nowMs - limits.Age.Milliseconds(), N: ^uint64(0)}))
	}
	if from == 0 {
		return r.floor
	}
	return r.ring.At(from - 1).ID
}

// bounds limit a hub's memory and the size of its steps. They are constants rather
// than options, because no site needs to tune them; tests make them small.
type bounds struct {
	// batch is how many bytes a batch has before it takes no further message.
	batch int
	// page is how many messages one read of the store returns.
	page int
	// A room's ring usually holds no more than this. The store serves readers that
	// have fallen further behind.
	ringMessages, ringBytes int
	// In a flood a ring holds up to this much for up to floodTime, because even the
	// fastest readers need time to be served.
	floodMessages, floodBytes int
	floodTime                 time.Duration
	// With more than this in all rings together, each keeps only its newest few.
	allRingBytes    int64
	crowdedMessages int
}

// BatchBytes is the size in bytes from which a batch takes no further message.
const BatchBytes = 64 << 10

var usualBounds = bounds{
	batch:           BatchBytes,
	page:            256,
	ringMessages:    1024,
	ringBytes:       256 << 10,
	floodMessages:   32 << 10,
	floodBytes:      8 << 20,
	floodTime:       20 * time.Second, // longer than a reader may stall
	allRingBytes:    64 << 20,
	crowdedMessages: 16,
}

// within returns the bounds for a hub whose store may use so many bytes of memory;
// 0 is no limit. Rings share their messages with such a store, but may hold some
// for a while that the store has removed.
func (b bounds) within(memory int) bounds {
	if memory > 0 {
		b.allRingBytes = min(b.allRingBytes, int64(memory/4))
	}
	return b
}

// oversized reports whether a ring is longer than usual and has to be trimmed
// later.
func (b *bounds) oversized(ring *store.Log) bool {
	return ring.Len() > b.ringMessages || ring.Bytes() > b.ringBytes
}

// tooLong reports whether a ring has to drop its oldest message now.
func (b *bounds) tooLong(ring *store.Log, all, nowMs int64) bool {
	switch n := ring.Len(); {
	case all > b.allRingBytes:
		return n > b.crowdedMessages
	case !b.oversized(ring):
		return false
	default:
		return n > b.floodMessages || ring.Bytes() > b.floodBytes || nowMs-ring.At(0).ID.Ms > b.floodTime.Milliseconds()
	}
}
