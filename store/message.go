package store

import (
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Lobby is the room of clients that name no room. The JSON of its messages has
// no room.
const Lobby = "lobby"

// Draft is a message before it is stored.
type Draft struct {
	// Name is the author's name, or empty.
	Name string
	// Nonce identifies repeats: a second draft with the nonce of an earlier one,
	// from the same owner in the same room, is not stored. Empty for none.
	Nonce string
	// Owner separates the nonces of different authors. It is any bytes, empty
	// for anonymous authors, and never sent to readers.
	Owner string
	// Text is valid UTF-8, never empty.
	Text string
}

// Message is a stored message, encoded as it is sent. It is immutable, so all
// readers share it.
type Message struct {
	// ID is the message's position in the hub's order.
	ID ID
	// Room is the room that the message was published to.
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

// NewMessage encodes a draft with its id, once for all readers. The message
// keeps the string room, so that should not be a slice of a longer string.
func NewMessage(id ID, room string, draft Draft) *Message {
	buf := scratch.Get().(*[]byte)
	// encode the frame first: the chunk begins with its size
	const start = maxChunkSizeLen
	whole := append((*buf)[:0], make([]byte, start)...)
	whole, data := appendFrame(whole, id, room, draft)
	var size [maxChunkSizeLen]byte
	line := AppendChunkSize(size[:0], len(whole)-start)
	begin := start - copy(whole[start-len(line):], line)
	whole = append(whole, chunkSuffix...)
	// with append, the capacity is what the allocator has really reserved
	m := &Message{ID: id, Room: room, chunk: append([]byte(nil), whole[begin:]...), frame: int32(start - begin), data: int32(start - begin + data)}
	*buf = whole
	scratch.Put(buf)
	return m
}

// Frame returns the whole event as it is written to a stream. The caller must
// not change it.
func (m *Message) Frame() []byte {
	end := len(m.chunk) - len(chunkSuffix)
	return m.chunk[m.frame:end:end]
}

// Chunk returns the frame as a chunk of an HTTP/1.1 body. The caller must not
// change it.
//
// https://www.rfc-editor.org/rfc/rfc9112#section-7.1
func (m *Message) Chunk() []byte { return slices.Clip(m.chunk) }

// JSON returns the message as one line of JSON. The caller must not change it.
func (m *Message) JSON() []byte {
	end := len(m.chunk) - len(frameSuffix) - len(chunkSuffix)
	return m.chunk[m.data:end:end]
}

// maxChunkSizeLen is the length of the longest chunk size that a message has.
const maxChunkSizeLen = len("ffffff\r\n")

// AppendChunkSize appends the line that begins a chunk of size bytes.
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

// appendJSON always writes text, timestamp and id, and in that order, as the
// first server did. It leaves out other fields that are empty.
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

// AppendString appends s as a JSON string on one line. Bytes that are not UTF-8
// become U+FFFD. Unlike json.Marshal it leaves <, > and & as they are. U+2028 and
// U+2029 are escaped, because parsers that use Python's splitlines would end the
// line there. It is written by hand because a json.Encoder allocates.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0 // of the bytes that are copied unchanged
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
