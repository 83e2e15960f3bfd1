package jetstream

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// change is what was done to messages after they were stored. Changes lie in
// the stream between the messages, so that all nodes learn of them at the
// same place in the order.
type change struct {
	Room string `json:"room,omitempty"`
	// Deleted is the one message of the room that is gone.
	Deleted string `json:"deleted,omitempty"`
	// Key is the key of that message, of its nonce if it has one. Versions
	// whose nonces had no owners do not tell it.
	Key string `json:"key,omitempty"`
	// Forgotten is the newest message of the room that is gone, with all
	// older ones.
	Forgotten string `json:"forgotten,omitempty"`
	// Nonces are the ids of forgotten messages by what follows the room in
	// their keys, as many as fit. They are for nodes that join later, and for
	// a stream that has forgotten these keys with the messages.
	Nonces map[string]string `json:"nonces,omitempty"`
	// Dropped tells that the room has gone to make room for another, which is
	// retention: its nonces still answer.
	Dropped bool `json:"dropped,omitempty"`
	// Limited tells that the stream keeps less or more from now on.
	Limited bool `json:"limited,omitempty"`
}

func (c change) encode() []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and a bool
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

// apply does to the index and the nonces what was done to the stream.
func (c change) apply(x *index, n *nonces, at store.ID, now time.Time) {
	if id, err := store.ParseID(c.Deleted); err == nil {
		x.delete(c.Room, id)
		key := c.Key
		if key == "" {
			key, _ = n.keyOf(id)
		}
		n.bury(key, id, now)
	}
	if through, err := store.ParseID(c.Forgotten); err == nil {
		x.forget(c.Room, through)
		if !c.Dropped {
			c.bury(n, through, now)
		}
	}
	if c.Limited {
		x.relimit(at)
	}
}

// bury gives up the messages of a forgotten room.
func (c change) bury(n *nonces, through store.ID, now time.Time) {
	n.buryRoom(c.Room, through, now)
	for key, word := range c.Nonces {
		if id, err := store.ParseID(word); err == nil {
			n.bury(roomKeys(c.Room)+key, id, now)
		}
	}
}
