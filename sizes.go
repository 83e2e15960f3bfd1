package ssechat

import "time"

// sizes bound what a hub holds in memory and does at a time. They are not
// options, because there is nothing to tune; tests make them small.
type sizes struct {
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

var usualSizes = sizes{
	batch:           64 << 10,
	page:            256,
	ringMessages:    1024,
	ringBytes:       256 << 10,
	floodMessages:   32 << 10,
	floodBytes:      8 << 20,
	floodTime:       20 * time.Second, // longer than a reader may stall
	allRingBytes:    64 << 20,
	crowdedMessages: 16,
}

// within returns the sizes for a hub whose store may use so many bytes of
// memory, or 0 if that is not limited. Rings share their messages with such a
// store, but may for a while hold some that it has removed.
func (s sizes) within(memory int) sizes {
	if memory > 0 {
		s.allRingBytes = min(s.allRingBytes, int64(memory/4))
	}
	return s
}
