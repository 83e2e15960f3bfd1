package store

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// raw is a message encoded without an envelope, for streams whose readers want the text
// itself.
type raw struct {
	chunk []byte
	frame int // where the frame starts in chunk
}

// RawFrame returns the event with the text itself as its data, line by line. If the
// message has data, these take the place of the text: a string as it is, anything else as
// JSON. It is encoded when it is first asked for. The caller must not change it.
func (m *Message) RawFrame() []byte {
	r := m.rawly()
	end := len(r.chunk) - len(chunkSuffix)
	return r.chunk[r.frame:end:end]
}

// RawChunk returns the raw frame as a chunk of an HTTP/1.1 body. The caller must not
// change it.
func (m *Message) RawChunk() []byte {
	chunk := m.rawly().chunk
	return chunk[:len(chunk):len(chunk)]
}

func (m *Message) rawly() *raw {
	if r := m.raw.Load(); r != nil {
		return r
	}
	var encoded Message
	encoded.encode(m.appendRaw)
	r := &raw{encoded.chunk, int(encoded.frame)}
	m.raw.Store(r) // another goroutine may have been faster; both are the same
	return r
}

func (m *Message) appendRaw(dst []byte) (frame []byte, data int) {
	post := m.Post()
	if post.Event != "" {
		dst = append(append(append(dst, "event: "...), post.Event...), '\n')
	}
	dst = append(dst, framePrefix...)
	dst = m.ID.Append(dst)
	dst = append(dst, '\n')
	data = len(dst)
	content := post.Text
	if post.Data != "" {
		content = post.Data
		var s string
		if json.Unmarshal([]byte(content), &s) == nil {
			content = s
		}
	}
	for more := true; more; {
		var line string
		line, content, more = cutLine(content)
		dst = append(append(dst, "data: "...), line...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n'), data
}

// cutLine returns the first line of s, without its end, and what follows. more is false
// if the line has no end. Lines end where any parser that people have may end them,
// Python's splitlines included, or a text could forge fields.
func cutLine(s string) (line, rest string, more bool) {
	end := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
	if end < 0 {
		return s, "", false
	}
	_, size := utf8.DecodeRuneInString(s[end:])
	if strings.HasPrefix(s[end:], "\r\n") {
		size = 2
	}
	return s[:end], s[end+size:], true
}
