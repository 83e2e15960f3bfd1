package store

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxRawBytes is how much memory [RawFrames] use, in bytes.
const maxRawBytes = 1 << 20

// RawFrames are messages encoded without an envelope: the data of the event is the text
// itself, line by line. If the message has data, these take the place of the text: a
// string as it is, anything else as JSON. The zero value is ready, and safe for concurrent
// use.
//
// Each message is encoded once for all readers. The newest encodings are kept here rather
// than in the message, so that whoever streams JSON pays nothing.
type RawFrames struct {
	frames sync.Map // *Message to *rawFrame

	mu    sync.Mutex
	order []*Message // oldest first
	bytes int
}

// rawFrame is an encoded message.
type rawFrame struct {
	chunk []byte
	start int // of the frame in chunk
}

// Frame returns the event of a message, which must not be a notice. The caller must not
// change it.
func (r *RawFrames) Frame(m *Message) []byte {
	f := r.of(m)
	end := len(f.chunk) - len(chunkSuffix)
	return f.chunk[f.start:end:end]
}

// Chunk returns the frame as a chunk of an HTTP/1.1 body. The caller must not change it.
func (r *RawFrames) Chunk(m *Message) []byte {
	return slices.Clip(r.of(m).chunk)
}

func (r *RawFrames) of(m *Message) *rawFrame {
	if f, ok := r.frames.Load(m); ok {
		return f.(*rawFrame)
	}
	chunk, start, _ := encode(m.appendRaw)
	f, known := r.frames.LoadOrStore(m, &rawFrame{chunk, start})
	if !known {
		r.bound(m, f.(*rawFrame))
	}
	return f.(*rawFrame)
}

// bound adds a new frame, and removes the oldest ones that are too many.
func (r *RawFrames) bound(m *Message, f *rawFrame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, m)
	r.bytes += rawSize(m, f)
	for r.bytes > maxRawBytes && len(r.order) > 1 {
		oldest := r.order[0]
		r.order[0], r.order = nil, r.order[1:]
		if f, ok := r.frames.LoadAndDelete(oldest); ok {
			r.bytes -= rawSize(oldest, f.(*rawFrame))
		}
	}
}

// rawSize returns how many bytes of memory a frame uses, with the message that it keeps
// alive and its places in the map and the queue.
func rawSize(m *Message, f *rawFrame) int { return cap(f.chunk) + m.Size() + 128 }

// appendRaw appends the event of the message, and returns where its data start.
func (m *Message) appendRaw(dst []byte) (frame []byte, data int) {
	post := m.Post()
	if post.Event != "" {
		dst = append(append(append(dst, "event: "...), post.Event...), '\n')
	}
	dst = m.ID.Append(append(dst, framePrefix...))
	dst = append(dst, '\n')
	data = len(dst)
	return append(post.appendRaw(dst), '\n'), data
}

// appendRaw appends the lines of the text, or of the data.
func (d *Draft) appendRaw(dst []byte) []byte {
	content := d.Text
	if d.Data != "" {
		content = d.Data
		var s string
		if json.Unmarshal([]byte(content), &s) == nil {
			content = s
		}
	}
	for more := true; more; {
		var line string
		line, content, more = cutLine(content)
		dst = append(append(append(dst, rawPrefix...), line...), '\n')
	}
	return dst
}

// rawPrefix begins each line of a text.
const rawPrefix = "data: "

// rawLineEnds end a line for one of the parsers that people have, Python's splitlines
// included: a text that kept one could forge fields.
const rawLineEnds = "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029"

// cutLine returns the first line of s, without its end, and what follows. more is false
// if the line has no end.
func cutLine(s string) (line, rest string, more bool) {
	end := strings.IndexAny(s, rawLineEnds)
	if end < 0 {
		return s, "", false
	}
	_, size := utf8.DecodeRuneInString(s[end:])
	if strings.HasPrefix(s[end:], "\r\n") {
		size = 2
	}
	return s[:end], s[end+size:], true
}
