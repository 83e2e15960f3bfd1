package wire

import (
	"slices"
	"strconv"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What is written to a stream beside messages. Named events have no id, so
// that they do not move a client's cursor, but for those that tell where the
// stream begins; and none is called open, error or
// message, because those mean something to every EventSource.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
const (
	// FirstLine lets a client know at once that it is connected. No blank
	// line follows it: four known clients would take that for an empty message.
	FirstLine     = ":ok\n"
	HeartbeatLine = ":\n"
)

// AppendRetry sets the client's delay before it reconnects. It must not be the
// only line before a blank one.
func AppendRetry(dst []byte, ms int64) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, ms, 10)
	return append(dst, '\n')
}

func appendEvent(dst []byte, name string) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	return append(dst, "\ndata: "...)
}

// AsChunk makes what dst has from start on a chunk of an HTTP/1.1 body.
//
// https://www.rfc-editor.org/rfc/rfc9112#section-7.1
func AsChunk(dst []byte, start int) []byte {
	var size [16]byte
	dst = slices.Insert(dst, start, store.AppendChunkSize(size[:0], len(dst)-start)...)
	return append(dst, "\r\n"...)
}

// LastChunk ends an HTTP/1.1 body.
const LastChunk = "0\r\n\r\n"

const eventEnd = "}\n\n"

// Hello is what a stream with named events begins with.
type Hello struct {
	Rooms          []string
	Now            time.Time
	From           *store.ID // where the stream goes on; nil if the client knows
	Latest, Oldest store.ID  // of what the rooms hold
	Ping           time.Duration
	Resumed        bool
	Name           string // that the configuration gives the reader, or empty
}

func AppendHello(dst []byte, h *Hello) []byte {
	dst = append(dst, "event: hello\n"...)
	if h.From != nil {
		dst = appendIDLine(dst, *h.From)
	}
	dst = append(dst, `data: {"rooms":[`...)
	for i := range h.Rooms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = store.AppendString(dst, h.Rooms[i])
	}
	dst = append(dst, `],"now":`...)
	dst = strconv.AppendInt(dst, h.Now.UnixMilli(), 10)
	dst = appendID(append(dst, `,"latest":`...), h.Latest)
	dst = appendID(append(dst, `,"oldest":`...), h.Oldest)
	dst = append(dst, `,"ping_ms":`...)
	dst = strconv.AppendInt(dst, h.Ping.Milliseconds(), 10)
	dst = append(dst, `,"resumed":`...)
	dst = strconv.AppendBool(dst, h.Resumed)
	if h.Name != "" {
		dst = append(dst, `,"you":{"name":`...)
		dst = append(store.AppendString(dst, h.Name), '}')
	}
	return append(dst, eventEnd...)
}

// AppendStart gives a browser's own EventSource the id with which it resumes
// if it is cut off before its first message. The event has data, because
// Firefox takes no id from one without.
func AppendStart(dst []byte, from store.ID) []byte {
	dst = append(dst, "event: start\n"...)
	dst = appendIDLine(dst, from)
	dst = append(dst, "data: "...)
	return append(from.Append(dst), "\n\n"...)
}

func appendIDLine(dst []byte, id store.ID) []byte {
	return append(id.Append(append(dst, "id: "...)), '\n')
}

func AppendGap(dst []byte, reason string, oldest store.ID) []byte {
	dst = appendEvent(dst, "gap")
	dst = append(dst, `{"reason":"`...)
	dst = append(dst, reason...)
	dst = appendID(append(dst, `","oldest":`...), oldest)
	return append(dst, eventEnd...)
}

func AppendLive(dst []byte, latest store.ID) []byte {
	dst = appendEvent(dst, "live")
	dst = appendID(append(dst, `{"latest":`...), latest)
	return append(dst, eventEnd...)
}

func AppendPing(dst []byte, nowMs int64) []byte {
	dst = appendEvent(dst, "ping")
	dst = append(dst, `{"now":`...)
	dst = strconv.AppendInt(dst, nowMs, 10)
	return append(dst, eventEnd...)
}

// AppendPresence tells who is in a room. Without names it says nothing of them,
// unless nobody has one.
func AppendPresence(dst []byte, room string, count, unnamed int, names []string) []byte {
	dst = appendEvent(dst, "presence")
	dst = store.AppendString(append(dst, `{"room":`...), room)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(count), 10)
	for i, name := range names {
		if i == 0 {
			dst = append(dst, `,"names":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = store.AppendString(dst, name)
	}
	if len(names) > 0 {
		dst = append(dst, ']')
	}
	dst = append(dst, `,"unnamed":`...)
	dst = strconv.AppendInt(dst, int64(unnamed), 10)
	return append(dst, eventEnd...)
}

func AppendDelete(dst []byte, id store.ID) []byte {
	dst = appendEvent(dst, "delete")
	dst = appendID(append(dst, `{"id":`...), id)
	return append(dst, eventEnd...)
}

func AppendBye(dst []byte, reason string, retryMs int64) []byte {
	dst = appendEvent(dst, "bye")
	dst = store.AppendString(append(dst, `{"reason":`...), reason)
	dst = append(dst, `,"retry_ms":`...)
	dst = strconv.AppendInt(dst, retryMs, 10)
	return append(dst, eventEnd...)
}

// appendID appends an id as a JSON string, empty for the zero ID.
func appendID(dst []byte, id store.ID) []byte {
	dst = append(dst, '"')
	if !id.IsZero() {
		dst = id.Append(dst)
	}
	return append(dst, '"')
}
