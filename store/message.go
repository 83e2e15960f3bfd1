package store

import (
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Lobby is the room of those who name none. Its messages carry no room.
const Lobby = "lobby"

// Draft is a message before it is stored.
type Draft struct {
	// Name is the author, or empty.
	Name string
	// Nonce makes a repeat by the same owner in the same room answer the first
	// message, or is empty.
	Nonce string
	// Owner tells the nonces of authors apart: any bytes, empty for all who
	// are nobody in particular. Readers never see it.
	Owner string
	// Text is valid UTF-8, never empty.
	Text string
}

// Message is a stored message in the form in which it is sent. It never
// changes, so all readers share one.
type Message struct {
	// ID is the message's place in the hub's order.
	ID ID
	// Room is where the message was published.
	Room string

	chunk       []byte
	frame, data int32 // where the frame and its JSON start in chunk
}

const (
	framePrefix = "id: "
	frameMiddle = "\ndata: "
	frameSuffix = "\n\n"
	chunkSuffix = "\r\n"
)

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// NewMessage encodes draft under its id, once for all readers. It keeps room,
// so that should not be part of a longer string.
func NewMessage(id ID, room string, draft Draft) *Message {
	buf := scratch.Get().(*[]byte)
	// the frame first, because what precedes it is its size
	const start = maxChunkSizeLen
	whole := append((*buf)[:0], make([]byte, start)...)
	whole, data := appendFrame(whole, id, room, draft)
	var size [maxChunkSizeLen]byte
	line := AppendChunkSize(size[:0], len(whole)-start)
	begin := start - copy(whole[start-len(line):], line)
	whole = append(whole, chunkSuffix...)
	// append shows in the capacity what the allocator has really given
	m := &Message{ID: id, Room: room, chunk: append([]byte(nil), whole[begin:]...), frame: int32(start - begin), data: int32(start - begin + data)}
	*buf = whole
	scratch.Put(buf)
	return m
}

// Frame returns the whole event as it is written to a stream. It must not be
// changed.
func (m *Message) Frame() []byte {
	end := len(m.chunk) - len(chunkSuffix)
	return m.chunk[m.frame:end:end]
}

// Chunk returns the frame as a chunk of an HTTP/1.1 body. It must not be
// changed.
//
// https://www.rfc-editor.org/rfc/rfc9112#section-7.1
func (m *Message) Chunk() []byte { return slices.Clip(m.chunk) }

// JSON returns the message as one line of JSON. It must not be changed.
func (m *Message) JSON() []byte {
	end := len(m.chunk) - len(frameSuffix) - len(chunkSuffix)
	return m.chunk[m.data:end:end]
}

// maxChunkSizeLen is the length of the longest chunk size that a message has.
const maxChunkSizeLen = len("ffffff\r\n")

// AppendChunkSize appends the line that precedes size bytes in a chunk.
func AppendChunkSize(dst []byte, size int) []byte {
	return append(strconv.AppendInt(dst, int64(size), 16), "\r\n"...)
}

func appendFrame(dst []byte, id ID, room string, draft Draft) (frame []byte, data int) {
	start := len(dst)
	dst = append(dst, framePrefix...)
	dst = id.Append(dst)
	dst = append(dst, frameMiddle...)
	data = len(dst) - start
	dst = appendJSON(dst, id, room, draft)
	return append(dst, frameSuffix...), data
}

// appendJSON writes text, timestamp and id first and always, as the first
// server did; the rest only where there is something to say.
func appendJSON(dst []byte, id ID, room string, draft Draft) []byte {
	dst = append(dst, `{"text":`...)
	dst = AppendString(dst, draft.Text)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, id.Ms, 10)
	dst = append(dst, `,"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, '"')
	if room != Lobby {
		dst = append(dst, `,"room":`...)
		dst = AppendString(dst, room)
	}
	if draft.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = AppendString(dst, draft.Name)
	}
	if draft.Nonce != "" {
		dst = append(dst, `,"nonce":`...)
		dst = AppendString(dst, draft.Nonce)
	}
	return append(dst, '}')
}

// AppendString appends s as a JSON string on one line. Unlike encoding/json it
// leaves <, > and & alone. U+2028 and U+2029 are escaped, because parsers that
// use Python's splitlines would end the line there. Bytes that are not UTF-8
// become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0 // of what is copied as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			escape := ""
			switch {
			case r == utf8.RuneError && size == 1:
				escape = `\ufffd`
			case r == '\u2028':
				escape = `\u2028`
			case r == '\u2029':
				escape = `\u2029`
			}
			if escape != "" {
				dst = append(append(dst, s[start:i]...), escape...)
				start = i + size
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
