package ssechat

import (
	"strconv"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What is written to a stream beside messages. Named events have no id, so
// that they do not move a client's cursor, and none is called open, error or
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

const eventEnd = "}\n\n"

func appendHello(dst []byte, rooms []seat, nowMs int64, latest, oldest store.ID, pingMs int64, resumed bool, you string) []byte {
	dst = appendEvent(dst, "hello")
	dst = append(dst, `{"rooms":[`...)
	for i := range rooms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = store.AppendString(dst, rooms[i].room.name)
	}
	dst = append(dst, `],"now":`...)
	dst = strconv.AppendInt(dst, nowMs, 10)
	dst = appendID(append(dst, `,"latest":`...), latest)
	dst = appendID(append(dst, `,"oldest":`...), oldest)
	dst = append(dst, `,"ping_ms":`...)
	dst = strconv.AppendInt(dst, pingMs, 10)
	dst = append(dst, `,"resumed":`...)
	dst = strconv.AppendBool(dst, resumed)
	if you != "" {
		dst = append(store.AppendString(append(dst, `,"you":{"name":`...), you), '}')
	}
	return append(dst, eventEnd...)
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

func appendPresence(dst []byte, room string, count int, names []string) []byte {
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
