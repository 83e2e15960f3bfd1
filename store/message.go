package store

import (
	"bytes"
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
	// Nonce makes a repeat in the same room answer the first message, or is
	// empty.
	Nonce string
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

	frame []byte
	data  int // where the JSON starts in frame
}

const (
	framePrefix = "id: "
	frameMiddle = "\ndata: "
	frameSuffix = "\n\n"
)

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// NewMessage encodes draft under its id, once for all readers. It keeps room,
// so that should not be part of a longer string.
func NewMessage(id ID, room string, draft Draft) *Message {
	buf := scratch.Get().(*[]byte)
	frame, data := appendFrame((*buf)[:0], id, room, draft)
	// append shows in the capacity what the allocator has really given
	m := &Message{ID: id, Room: room, frame: append([]byte(nil), frame...), data: data}
	*buf = frame
	scratch.Put(buf)
	return m
}

// Frame returns the whole event as it is written to a stream. It must not be
// changed.
func (m *Message) Frame() []byte { return m.frame }

// JSON returns the message as one line of JSON. It must not be changed.
func (m *Message) JSON() []byte { return m.frame[m.data : len(m.frame)-len(frameSuffix)] }

// FrameID returns the id of the message whose frame events begin with.
func FrameID(events []byte) ID {
	line, _, _ := bytes.Cut(events, []byte("\n"))
	id, err := ParseID(string(bytes.TrimPrefix(line, []byte(framePrefix))))
	if err != nil {
		panic("not the frame of a message: " + err.Error())
	}
	return id
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
// leaves <, > and & alone. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0 // of what is copied as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), `\ufffd`...)
				start = i + 1
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
