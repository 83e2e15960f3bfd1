package hub

import (
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

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
