package jetstream

import (
	"sort"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
)

// room is what an index knows of one room.
type room struct {
	name string
	// ids are those of messages that can be read, oldest first.
	ids []store.ID
	// known is how far ids are all messages that the stream has.
	known knowledge
	// unseen bounds the messages that are not in ids: none is newer. It is not
	// used for a room that is complete.
	unseen store.ID
	// stored is how many messages the stream had when they were counted. It is
	// only used for a room that is counted.
	stored int
	lost   loss
	idle   *idle.Place // in index.idle
}

// knowledge is how much an index knows of a room:
//
//   - complete, when the room's first message is published, when older ids have been
//     loaded, when newer ones are as many as readers can see, or when the messages that
//     the index did not know were forgotten;
//   - counted, when the index begins, or begins anew, with a room that has messages;
//   - uncounted, when ids are discarded to free memory, or when the stream's limits
//     change for a room that is counted.
type knowledge int

const (
	// complete: ids are all messages that the stream has of the room.
	complete knowledge = iota
	// counted: the stream may have older messages than ids. It had at least
	// room.stored of them. If that is less than it keeps of a room, the room has
	// lost nothing unnoticed.
	counted
	// uncounted: the stream may have older messages than ids, and the room may
	// have lost some unnoticed.
	uncounted
)

// loss is what a room has lost to retention.
type loss struct {
	// id is that of the newest message that was removed, or the zero ID.
	id store.ID
	// guessed is set if that id is unknown, and id is only the one before the
	// oldest message that is left.
	guessed bool
}

// after returns the index of the oldest id newer than id.
func (r *room) after(id store.ID) int {
	return sort.Search(len(r.ids), func(i int) bool { return r.ids[i].After(id) })
}
