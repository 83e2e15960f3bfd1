package jetstream

import (
	"encoding/json"
	"fmt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// change is what was done to messages after they were stored. Changes lie in
// the stream between the messages, so that all nodes learn of them at the
// same place in the order.
type change struct {
	Room string `json:"room,omitempty"`
	// Deleted is the one message of the room that is gone.
	Deleted string `json:"deleted,omitempty"`
	// Forgotten is the newest message of the room that is gone, with all
	// older ones.
	Forgotten string `json:"forgotten,omitempty"`
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

// apply does to the index what was done to the stream.
func (c change) apply(x *index, at store.ID) {
	if id, err := store.ParseID(c.Deleted); err == nil {
		x.delete(c.Room, id)
	}
	if id, err := store.ParseID(c.Forgotten); err == nil {
		x.forget(c.Room, id)
	}
	if c.Limited {
		x.relimit(at)
	}
}
