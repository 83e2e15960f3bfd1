package webhook

import (
	"github.com/sse-chat/caddy-sse-chat/store"
)

// entry is one thing that the site is told.
type entry struct {
	// at is its place in the log; for a gap, the place before it.
	at   store.ID
	kind kind
	room string
	// id is that of the message; of the newest one, if those of a room were forgotten.
	id      store.ID
	message *store.Message // as it is now, of a message or change
	reason  string         // of a gap
}

type kind uint8

const (
	published kind = iota // a message
	changed               // a message was changed
	deleted               // a message is gone
	forgotten             // all messages of a room up to id are gone
	gap                   // messages were lost
	nothing               // the entry is obsolete and is skipped
)

// The reasons of gaps.
const (
	expired  = "expired"  // retention has removed messages that the site was not told of
	rollback = "rollback" // the store has lost messages, or was replaced
)

// entryOf returns the entry of what a store has read.
func entryOf(m *store.Message) entry {
	e := entry{at: m.ID, kind: published, room: m.Room, id: m.ID, message: m}
	if !m.IsNotice() {
		return e
	}
	e.id, e.message = m.About(), m.Whole()
	switch {
	case e.message != nil:
		e.kind = changed
	case m.IsForgotten():
		e.kind = forgotten
	default:
		e.kind = deleted
	}
	return e
}

// append appends the entry as JSON.
func (e *entry) append(dst []byte) []byte {
	if e.kind == gap {
		return append(store.AppendString(append(dst, `{"type":"gap","reason":`...), e.reason), '}')
	}
	dst = append(dst, `{"type":`...)
	dst = append(dst, [...]string{published: `"message"`, changed: `"change"`, deleted: `"delete"`, forgotten: `"delete"`}[e.kind]...)
	dst = store.AppendString(append(dst, `,"room":`...), e.room)
	switch e.kind {
	case deleted:
		dst = append(e.id.Append(append(dst, `,"id":"`...)), '"')
	case forgotten:
		dst = append(e.id.Append(append(dst, `,"through":"`...)), '"')
	default:
		dst = append(append(dst, `,"message":`...), e.message.JSON()...)
	}
	return append(dst, '}')
}

// The most that one request has. Common limits of servers are 1 MB and more; one message
// has less than 64 KiB.
const (
	maxBatch      = 100
	maxBatchBytes = 512 << 10
)

// encode returns the first entries as the JSON of a request, and how many these are: at
// least one.
func encode(entries []entry) (body []byte, n int) {
	body = append(make([]byte, 0, 16<<10), '[')
	for ; n < min(len(entries), maxBatch) && len(body) < maxBatchBytes; n++ {
		if n > 0 {
			body = append(body, ',')
		}
		body = entries[n].append(body)
	}
	return append(body, ']'), n
}
