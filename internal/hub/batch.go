package hub

import (
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Batch is what goes to a reader in one write.
type Batch struct {
	Bytes []byte
	// messages is how many messages that is, replayed how many of them are
	// older than the stream.
	messages, replayed int
	// shared tells that bytes are not the caller's to change.
	shared bool
	// mixed tells that something else than messages may be in the batch, so that
	// it shares nothing.
	mixed bool
	// marks are where the messages end, if a part of the batch may be written
	// and the rest taken back; otherwise nil.
	marks []mark
	// named is where the last event ends that is no message and cannot be
	// read again, or a heartbeat.
	named int
}

// mark is where a message ends in a batch.
type mark struct {
	end int
	id  store.ID
}

// Buffers hold what goes out in one write, if that is more than one message. They
// are for those that write for a single stream for a moment.
var Buffers = sync.Pool{New: func() any { return NewBuffer(4 << 10) }}

// Buffer is the memory that a batch is made in. One goroutine uses it at a time.
type Buffer struct {
	Bytes []byte
	marks []mark // of a batch of which a part may be written
}

// NewBuffer returns a buffer of so many bytes, which grows as needed.
func NewBuffer(size int) *Buffer { return &Buffer{Bytes: make([]byte, 0, size)} }

// batch returns an empty batch of which a part may be written.
func (b *Buffer) batch() Batch {
	if b.marks == nil {
		b.marks = make([]mark, 0, 64)
	}
	return Batch{Bytes: b.Bytes[:0], marks: b.marks[:0]}
}

// Keep takes back what a batch was made in, unless that is too large to keep. The
// batch must not be used any more.
func (b *Buffer) Keep(out Batch) {
	if out.shared || cap(out.Bytes) > 2*BatchBytes {
		return
	}
	b.Bytes = out.Bytes[:0]
	if out.marks != nil {
		b.marks = out.marks[:0]
	}
}
