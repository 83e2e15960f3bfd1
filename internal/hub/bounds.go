package hub

import (
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// bounds limit what a hub holds in memory and does at a time. They are not
// options, because there is nothing to tune; tests make them small.
type bounds struct {
	// batch is from how many bytes a write takes no further message.
	batch int
	// page is how many messages are read from the store at a time.
	page int
	// A room's ring usually holds no more than this. Readers that fall
	// behind it are served by the store.
	ringMessages, ringBytes int
	// In a flood a ring holds more for a while, because readers as fast as
	// can be still need their turn.
	floodMessages, floodBytes int
	floodTime                 time.Duration
	// With more than this in all rings of a hub, each keeps its newest few.
	allRingBytes    int64
	crowdedMessages int
}

// BatchBytes is the size of a batch: from then on it takes no further message.
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

// within returns the bounds for a hub whose store may use so many bytes of
// memory, or 0 if that is not limited. Rings share their messages with such a
// store, but may for a while hold some that it has removed.
func (b bounds) within(memory int) bounds {
	if memory > 0 {
		b.allRingBytes = min(b.allRingBytes, int64(memory/4))
	}
	return b
}

// swollen reports whether a ring is longer than usual.
func (b *bounds) oversized(ring *store.Log) bool {
	return ring.Len() > b.ringMessages || ring.Bytes() > b.ringBytes
}

// tooLong reports whether a ring has to lose its oldest message.
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
