package hub

import (
	"slices"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
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

// mark is the end of a message or notice in a batch.
type mark struct {
	end    int
	id     store.ID
	notice bool
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

// IsFull reports whether a batch has reached its size and takes no further message.
func (s *Subscriber) IsFull(out *Batch) bool { return len(out.Bytes) >= s.hub.sizes.batch }

// take appends a copy of a message to the batch and moves the cursor past it.
func (s *Subscriber) take(out *Batch, m *store.Message) {
	out.Bytes = append(out.Bytes, s.frame(m)...)
	if out.marks != nil {
		out.marks = append(out.marks, mark{len(out.Bytes), m.ID, m.IsNotice()})
	}
	s.pass(out, m)
}

// share makes the message's own bytes the batch, without a copy, and moves the
// cursor past it.
func (s *Subscriber) share(out *Batch, m *store.Message) {
	out.Bytes, out.shared = s.frame(m), true
	s.pass(out, m)
}

// pass moves the cursor past a message or notice. It counts messages in the batch.
func (s *Subscriber) pass(out *Batch, m *store.Message) {
	if s.cursor = m.ID; m.IsNotice() {
		return
	}
	out.messages++
	if !m.ID.After(s.replayEnd) {
		out.replayed++
	}
	s.newest = m.ID
}

// frame returns the encoded message, as a chunk if the connection needs chunks.
func (s *Subscriber) frame(m *store.Message) []byte {
	switch raw := s.raw && !m.IsNotice(); {
	case raw && s.chunked:
		return s.hub.raw.Chunk(m)
	case raw:
		return s.hub.raw.Frame(m)
	case s.chunked:
		return m.Chunk()
	default:
		return m.Frame()
	}
}

// endNamed finishes a named event, or other bytes that are not a message, which
// begin at start: it makes them a chunk if need be and marks their end.
func (s *Subscriber) endNamed(out *Batch, start int) {
	if len(out.Bytes) == start {
		return
	}
	if s.chunked {
		out.Bytes = wire.AsChunk(out.Bytes, start)
	}
	out.named = len(out.Bytes)
}

// Goodbye returns the last bytes of a stream that ends for a reason. The writing
// goroutine calls it.
func (s *Subscriber) Goodbye(reason string) []byte {
	end := encodeGoodbye(s.Events, reason, retryAfterEnd(reason).Ms())
	if s.chunked {
		end = wire.AsChunk(end, 0)
	}
	return end
}

// BodyEnd returns what ends the body after the goodbye, or nil.
func (s *Subscriber) BodyEnd() []byte {
	if s.chunked {
		return []byte(wire.LastChunk)
	}
	return nil
}

// appendGap appends a "gap" event. The current page follows it.
func (s *Subscriber) appendGap(out *Batch, reason gapReason) {
	var oldest store.ID
	if i := slices.IndexFunc(s.unread, func(m *store.Message) bool { return !m.IsNotice() }); i >= 0 {
		oldest = s.unread[i].ID
	}
	named := len(out.Bytes)
	out.Bytes = wire.AppendGap(out.Bytes, string(reason), oldest)
	s.endNamed(out, named)
	s.hub.Counts.Gaps.Add(string(reason))
}
