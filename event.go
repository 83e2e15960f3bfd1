package ssechat

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
	// firstLine lets a client know at once that it is connected. No blank
	// line follows it: four known clients would take that for an empty message.
	firstLine     = ":ok\n"
	heartbeatLine = ":\n"
)

// gapReason is why a reader was told of a gap.
type gapReason string

const (
	gapNone     gapReason = ""
	gapExpired  gapReason = "expired"  // retention removed some of what follows the id
	gapUnknown  gapReason = "unknown"  // the id is not of this log
	gapSlow     gapReason = "slow"     // the reader was slower than retention
	gapRollback gapReason = "rollback" // the id is newer than this log, which is durable
)

var gapReasons = []gapReason{gapExpired, gapUnknown, gapSlow, gapRollback}

// appendRetry sets the client's delay before it reconnects. It must not be the
// only line before a blank one.
func appendRetry(dst []byte, ms int64) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, ms, 10)
	return append(dst, '\n')
}

func appendEvent(dst []byte, name string) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	return append(dst, "\ndata: "...)
}

// asChunk makes what dst has from start on a chunk of an HTTP/1.1 body.
//
// https://www.rfc-editor.org/rfc/rfc9112#section-7.1
func asChunk(dst []byte, start int) []byte {
	var size [16]byte
	dst = slices.Insert(dst, start, store.AppendChunkSize(size[:0], len(dst)-start)...)
	return append(dst, "\r\n"...)
}

// lastChunk ends an HTTP/1.1 body.
const lastChunk = "0\r\n\r\n"

const eventEnd = "}\n\n"

// hello is what a stream with named events begins with.
type hello struct {
	rooms          []seat
	now            time.Time
	from           *store.ID // where the stream goes on; nil if the client knows
	latest, oldest store.ID  // of what the rooms hold
	ping           time.Duration
	resumed        bool
	name           string // that the configuration gives the reader, or empty
}

func appendHello(dst []byte, h *hello) []byte {
	dst = append(dst, "event: hello\n"...)
	if h.from != nil {
		dst = appendIDLine(dst, *h.from)
	}
	dst = append(dst, `data: {"rooms":[`...)
	for i := range h.rooms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = store.AppendString(dst, h.rooms[i].room.name)
	}
	dst = append(dst, `],"now":`...)
	dst = strconv.AppendInt(dst, h.now.UnixMilli(), 10)
	dst = appendID(append(dst, `,"latest":`...), h.latest)
	dst = appendID(append(dst, `,"oldest":`...), h.oldest)
	dst = append(dst, `,"ping_ms":`...)
	dst = strconv.AppendInt(dst, h.ping.Milliseconds(), 10)
	dst = append(dst, `,"resumed":`...)
	dst = strconv.AppendBool(dst, h.resumed)
	if h.name != "" {
		dst = append(dst, `,"you":{"name":`...)
		dst = append(store.AppendString(dst, h.name), '}')
	}
	return append(dst, eventEnd...)
}

// appendStart gives a browser's own EventSource the id with which it resumes
// if it is cut off before its first message. The event has data, because
// Firefox takes no id from one without.
func appendStart(dst []byte, from store.ID) []byte {
	dst = append(dst, "event: start\n"...)
	dst = appendIDLine(dst, from)
	dst = append(dst, "data: "...)
	return append(from.Append(dst), "\n\n"...)
}

func appendIDLine(dst []byte, id store.ID) []byte {
	return append(id.Append(append(dst, "id: "...)), '\n')
}

func appendGap(dst []byte, reason gapReason, oldest store.ID) []byte {
	dst = appendEvent(dst, "gap")
	dst = append(dst, `{"reason":"`...)
	dst = append(dst, reason...)
	dst = appendID(append(dst, `","oldest":`...), oldest)
	return append(dst, eventEnd...)
}

func appendLive(dst []byte, latest store.ID) []byte {
	dst = appendEvent(dst, "live")
	dst = appendID(append(dst, `{"latest":`...), latest)
	return append(dst, eventEnd...)
}

func appendPing(dst []byte, nowMs int64) []byte {
	dst = appendEvent(dst, "ping")
	dst = append(dst, `{"now":`...)
	dst = strconv.AppendInt(dst, nowMs, 10)
	return append(dst, eventEnd...)
}

// appendPresence tells who is in a room. Without names it says nothing of them,
// unless nobody has one.
func appendPresence(dst []byte, room string, sum summary, names []string) []byte {
	dst = appendEvent(dst, "presence")
	dst = store.AppendString(append(dst, `{"room":`...), room)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(sum.count), 10)
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
	dst = strconv.AppendInt(dst, int64(sum.unnamed), 10)
	return append(dst, eventEnd...)
}

func appendDelete(dst []byte, id store.ID) []byte {
	dst = appendEvent(dst, "delete")
	dst = appendID(append(dst, `{"id":`...), id)
	return append(dst, eventEnd...)
}

func appendBye(dst []byte, reason string, retryMs int64) []byte {
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
