package jetstream

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// change is that a room was forgotten, or a change of the stream's limits. Changes are
// published to the same stream as messages, so that all nodes apply them at the same
// position. Changes of single messages are revisions, see [revision].
type change struct {
	Room string `json:"room,omitempty"`
	// Deleted is the id of a deleted message. Early versions wrote it.
	Deleted string `json:"deleted,omitempty"`
	// Key is the key of the deleted message. The earliest versions did not write it.
	Key string `json:"key,omitempty"`
	// Forgotten is the id of the newest message that was removed; so were all
	// older ones of the room.
	Forgotten string `json:"forgotten,omitempty"`
	// Nonces maps the keys of forgotten messages, without the room, to their
	// ids, for as many as fit. Nodes that join later need them, and a stream
	// forgets the keys of messages that it has removed.
	Nonces map[string]string `json:"nonces,omitempty"`
	// Dropped is set if the room was removed to make place for another one. That
	// is retention: a repeat of a nonce still returns its message.
	Dropped bool `json:"dropped,omitempty"`
	// Limited is set if the stream's limits have changed.
	Limited bool `json:"limited,omitempty"`
}

func (c change) encode() []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // impossible for strings and bools
	}
	return data
}

func decodeChange(data []byte) (change, error) {
	var c change
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("a change: %w", err)
	}
	return c, nil
}

// apply applies the change, which has the id at, to the nonces and to the index, whose
// rooms keep count messages.
func (c change) apply(x *index, n *nonces, at store.ID, now time.Time, count int) {
	if id, err := store.ParseID(c.Deleted); err == nil {
		x.delete(c.Room, id, at, count)
		key := c.Key
		if key == "" {
			key, _ = n.keyOf(id)
		}
		n.bury(key, id, now)
	}
	if through, err := store.ParseID(c.Forgotten); err == nil {
		x.forget(c.Room, through)
		x.record(c.Room, func(f *forgotten) {
			if c.Dropped {
				f.dropped = at
			} else {
				f.at, f.through = at, through
			}
		})
		if !c.Dropped {
			c.bury(n, through, now)
		}
	}
	if c.Limited {
		x.limitsChanged(at)
	}
}

// bury forgets the messages of a forgotten room, but not their nonces.
func (c change) bury(n *nonces, through store.ID, now time.Time) {
	n.buryRoom(c.Room, through, now)
	for key, word := range c.Nonces {
		if id, err := store.ParseID(word); err == nil {
			n.bury(roomKeys(c.Room)+key, id, now)
		}
	}
}
