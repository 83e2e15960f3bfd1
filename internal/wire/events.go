package wire

import (
	"slices"
	"strconv"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What is written to a stream beside messages and notices of changes. These events have
// no id, so that they do not move a client's cursor, except for those that say where the
// stream begins. None is named open, error or message, which mean something to every
// EventSource.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
const (
	// FirstLine is a comment that shows a client at once that it is connected. No
	// blank line follows it, because four known clients take that for an empty
	// message.
	FirstLine = ":ok\n"
	// HeartbeatLine is the comment that is the heartbeat of streams without named
	// events.
	HeartbeatLine = ":\n"
)

// AppendRetry appends the delay in milliseconds before the client reconnects. It
// must not be the only line before a blank one.
func AppendRetry(dst []byte, ms int64) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, ms, 10)
	return append(dst, '\n')
}

// appendEvent appends the start of a named event.
func appendEvent(dst []byte, name string) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	return append(dst, "\ndata: "...)
}

// AsChunk turns what dst has from start on into a chunk of an HTTP/1.1 body.
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

// Hello is the first event of a stream with named events.
type Hello struct {
	Rooms          []string
	Now            time.Time     // of the server
	From           *store.ID     // where the stream begins; nil if the client resumes
	Latest, Oldest store.ID      // newest and oldest message of the rooms; zero if none
	Ping           time.Duration // interval between heartbeats
	Resumed        bool          // whether nothing was lost since the client's Last-Event-ID
	Name           string        // name that the configuration gives the reader; "" if none
	Moderates      bool          // whether the reader may change the messages of others
}

// AppendHello appends the "hello" event.
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
	return append(appendYou(dst, h), eventEnd...)
}

// appendYou appends what the configuration says of the reader, if it says anything.
func appendYou(dst []byte, h *Hello) []byte {
	switch {
	case h.Name != "":
		dst = store.AppendString(append(dst, `,"you":{"name":`...), h.Name)
		if h.Moderates {
			dst = append(dst, `,"moderate":true`...)
		}
	case h.Moderates:
		dst = append(dst, `,"you":{"moderate":true`...)
	default:
		return dst
	}
	return append(dst, '}')
}

// AppendStart appends the "start" event. It gives a browser's own EventSource the
// id to resume from if it is cut off before its first message. The event has data,
// because Firefox ignores the id of an event without.
func AppendStart(dst []byte, from store.ID) []byte {
	dst = append(dst, "event: start\n"...)
	dst = appendIDLine(dst, from)
	dst = append(dst, "data: "...)
	return append(from.Append(dst), "\n\n"...)
}

func appendIDLine(dst []byte, id store.ID) []byte {
	return append(id.Append(append(dst, "id: "...)), '\n')
}

// AppendGap appends the "gap" event: messages are missing before the oldest one
// that follows. oldest is zero if none does.
func AppendGap(dst []byte, reason string, oldest store.ID) []byte {
	dst = appendEvent(dst, "gap")
	dst = append(dst, `{"reason":"`...)
	dst = append(dst, reason...)
	dst = appendID(append(dst, `","oldest":`...), oldest)
	return append(dst, eventEnd...)
}

// AppendLive appends the "live" event: the replay is over. latest is the newest
// message of the stream's rooms; zero if none.
func AppendLive(dst []byte, latest store.ID) []byte {
	dst = appendEvent(dst, "live")
	dst = appendID(append(dst, `{"latest":`...), latest)
	return append(dst, eventEnd...)
}

// AppendPing appends the "ping" event, the heartbeat of streams with named events.
// nowMs is the time in Unix milliseconds.
func AppendPing(dst []byte, nowMs int64) []byte {
	dst = appendEvent(dst, "ping")
	dst = append(dst, `{"now":`...)
	dst = strconv.AppendInt(dst, nowMs, 10)
	return append(dst, eventEnd...)
}

// AppendPresence appends the "presence" event: how many people are in a room, how
// many of them have no name, and the names. Without names the event says nothing
// about them, unless all people are unnamed.
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

// Signal is something that is only worth telling those who are there now, like that
// somebody types.
type Signal struct {
	Name   string `json:"name,omitempty"`   // of who sends it
	Author string `json:"author,omitempty"` // the tag of the sender's key
	Signal string `json:"signal"`
}

// AppendSignal appends the "signal" event.
func AppendSignal(dst []byte, room string, s Signal) []byte {
	dst = appendEvent(dst, "signal")
	dst = store.AppendString(append(dst, `{"room":`...), room)
	dst = store.AppendString(append(dst, `,"name":`...), s.Name)
	dst = store.AppendField(dst, `,"author":`, s.Author)
	dst = store.AppendString(append(dst, `,"signal":`...), s.Signal)
	return append(dst, eventEnd...)
}

// AppendBye appends the "bye" event: why the stream ends, and the delay in
// milliseconds before the client should reconnect.
func AppendBye(dst []byte, reason string, retryMs int64) []byte {
	dst = appendEvent(dst, "bye")
	dst = store.AppendString(append(dst, `{"reason":`...), reason)
	dst = append(dst, `,"retry_ms":`...)
	dst = strconv.AppendInt(dst, retryMs, 10)
	return append(dst, eventEnd...)
}

// appendID appends an id as a JSON string, "" for the zero ID.
func appendID(dst []byte, id store.ID) []byte {
	dst = append(dst, '"')
	if !id.IsZero() {
		dst = id.Append(dst)
	}
	return append(dst, '"')
}
