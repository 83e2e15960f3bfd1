package hub

import (
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Batch is what one write sends to a reader.
type Batch struct {
	// Bytes is the encoded events. A batch without bytes is empty.
	Bytes []byte
	// messages is how many messages the batch has, replayed how many of them are
	// older than the stream.
	messages, replayed int
	// shared is set if Bytes belongs to a message and must not be changed.
	shared bool
	// mixed is set if the batch may have named events, so that it cannot be shared.
	mixed bool
	// marks are the ends of the messages, for a batch that may be written in part;
	// nil for others.
	marks []mark
	// named is the end of the last event that is not a message, or of a heartbeat.
	// What comes before it cannot be read again.
	named int
}

// mark is the end of a message in a batch.
type mark struct {
	end int
	id  store.ID
}

// Buffers is a pool of [Buffer] for goroutines that write for one stream at a time.
var Buffers = sync.Pool{New: func() any { return NewBuffer(4 << 10) }}

// Buffer is the memory for one batch at a time. One goroutine uses it at a time.
type Buffer struct {
	// Bytes is empty, and has the capacity that a batch may fill.
	Bytes []byte
	marks []mark // of a batch that may be written in part
}

// NewBuffer returns a buffer with a capacity of size bytes, which grows as needed.
func NewBuffer(size int) *Buffer { return &Buffer{Bytes: make([]byte, 0, size)} }

// batch returns an empty batch that may be written in part.
func (b *Buffer) batch() Batch {
	if b.marks == nil {
		b.marks = make([]mark, 0, 64)
	}
	return Batch{Bytes: b.Bytes[:0], marks: b.marks[:0]}
}

// Keep returns a batch's memory to the buffer, unless it is too large to keep. The
// batch must not be used afterwards.
func (b *Buffer) Keep(out Batch) {
	if out.shared || cap(out.Bytes) > 2*BatchBytes {
		return
	}
	b.Bytes = out.Bytes[:0]
	if out.marks != nil {
		b.marks = out.marks[:0]
	}
}
