package store

import (
	"slices"
	"strconv"
	"sync"
)

// Lobby is the room of clients that name no room. The JSON of its messages has
// no room.
const Lobby = "lobby"

// Message is an entry of the log, encoded as it is sent: a message, or a notice that one
// was changed or taken back. It is immutable, so all readers share it.
type Message struct {
	// ID is the entry's position in the hub's order.
	ID ID
	// Room is the room that the message was published to.
	Room string
	// Owner is who may change the message. A notice has none.
	Owner Owner

	changed *changed // nil if the message was never changed, and for a notice
	notice  *notice  // nil for a message

	chunk       []byte
	frame, data int32 // where the frame and its JSON start in chunk
}

// changed is what a message has that was changed.
type changed struct {
	revision  ID
	edited    int64
	reactions []Reaction
}

const (
	framePrefix = "id: "
	frameMiddle = "\ndata: "
	frameSuffix = "\n\n"
	chunkSuffix = "\r\n"
)

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// NewMessage encodes a draft with its id, once for all readers. The message
// keeps the strings room and draft.Owner, so these should not be slices of longer
// strings.
func NewMessage(id ID, room string, draft Draft) *Message {
	return newMessage(id, room, &Post{Draft: draft})
}

// NewPost is [NewMessage] for a message that may have been changed. It keeps
// post.Reactions too.
func NewPost(id ID, room string, post Post) *Message { return newMessage(id, room, &post) }

func newMessage(id ID, room string, post *Post) *Message {
	m := &Message{ID: id, Room: room, Owner: post.Owner}
	if !post.Revision.IsZero() {
		m.changed = &changed{post.Revision, post.Edited, post.Reactions}
	}
	m.setFrame(func(dst []byte) ([]byte, int) { return appendFrame(dst, id, room, post) })
	return m
}

// setFrame sets the encoded frame that appendFrame appends, which returns where its JSON
// starts.
func (m *Message) setFrame(appendFrame func([]byte) ([]byte, int)) {
	chunk, frame, data := encode(appendFrame)
	m.chunk, m.frame, m.data = chunk, int32(frame), int32(data)
}

// encode returns the frame that appendFrame appends as a chunk of an HTTP/1.1 body, and
// where in it the frame and its data start. appendFrame returns where it put the data.
func encode(appendFrame func([]byte) ([]byte, int)) (chunk []byte, frame, data int) {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	// encode the frame first: the chunk begins with its size
	const start = maxChunkSizeLen
	whole := append((*buf)[:0], make([]byte, start)...)
	whole, data = appendFrame(whole)
	var size [maxChunkSizeLen]byte
	line := AppendChunkSize(size[:0], len(whole)-start)
	begin := start - copy(whole[start-len(line):], line)
	whole = append(whole, chunkSuffix...)
	*buf = whole
	// with append, the capacity is what the allocator has really reserved
	return append([]byte(nil), whole[begin:]...), start - begin, data - begin
}

// Revision returns the id of the message's last change, or the zero ID if it was never
// changed.
func (m *Message) Revision() ID {
	if m.changed == nil {
		return ID{}
	}
	return m.changed.revision
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

// appendFrame appends the event of a message, and returns where its JSON starts.
func appendFrame(dst []byte, id ID, room string, post *Post) (frame []byte, data int) {
	if post.Event != "" {
		dst = append(append(append(dst, "event: "...), post.Event...), '\n')
	}
	dst = append(dst, framePrefix...)
	dst = id.Append(dst)
	dst = append(dst, frameMiddle...)
	data = len(dst)
	dst = appendJSON(dst, id, room, post)
	return append(dst, frameSuffix...), data
}

// appendJSON always writes text, timestamp and id, and in that order, as the
// first server did. It leaves out other fields that are empty.
func appendJSON(dst []byte, id ID, room string, post *Post) []byte {
	start := len(dst)
	dst = append(dst, `{"text":`...)
	dst = AppendString(dst, post.Text)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, id.Ms, 10)
	dst = append(dst, `,"id":"`...)
	dst = id.Append(dst)
	dst = append(dst, '"')
	dst = appendRoom(dst, room)
	dst = AppendField(dst, `,"name":`, post.Name)
	dst = AppendField(dst, `,"nonce":`, post.Nonce)
	dst = AppendField(dst, `,"author":`, post.Author)
	dst = AppendField(dst, `,"event":`, post.Event)
	if post.Data != "" {
		dst = append(append(dst, `,"data":`...), post.Data...)
	}
	dst = AppendField(dst, `,"reply_to":`, post.ReplyTo.String())
	if post.Edited != 0 {
		dst = strconv.AppendInt(append(dst, `,"edited":`...), post.Edited, 10)
	}
	if len(post.Reactions) > 0 {
		dst = appendReactions(append(dst, `,"reactions":`...), start, post.Reactions)
	}
	return append(dst, '}')
}

// AppendField appends a string with its key, unless the string is empty.
func AppendField(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return AppendString(append(dst, key...), value)
}

// appendRoom appends the room's name with its key, unless it is the lobby.
func appendRoom(dst []byte, room string) []byte {
	if room == Lobby {
		return dst
	}
	return AppendField(dst, `,"room":`, room)
}

const (
	// maxShown is how many of those who reacted are named.
	maxShown = 20
	// maxEvent is from which size of an event, in bytes, nobody else is named. Two known
	// clients loop for ever over an event of 64 KiB.
	maxEvent = 62 << 10
)

// appendReactions appends reactions as a JSON object. The event begins at start.
func appendReactions(dst []byte, start int, reactions []Reaction) []byte {
	dst = append(dst, '{')
	for i, r := range reactions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, r.Kind)
		dst = strconv.AppendInt(append(dst, `:{"count":`...), int64(len(r.By)), 10)
		dst = append(dst, `,"by":[`...)
		for j, owner := range r.By[:min(len(r.By), maxShown)] {
			if len(dst)-start > maxEvent {
				break
			}
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, owner.Shown())
		}
		dst = append(dst, `]}`...)
	}
	return append(dst, '}')
}
