// Package nodes is what the instances of a hub on several nodes send each other:
// who reads where, questions for that, and moderators' commands.
package nodes

import (
	"iter"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// Notice is a message between the instances of a hub. It is not stored.
type Notice struct {
	// Number is the number of this notice if it is numbered, otherwise of the last
	// numbered one.
	Number uint64 `json:"number,omitempty"`
	// Hello asks all others to send all their rooms.
	Hello bool `json:"hello,omitempty"`
	// Bye announces that the sender closes.
	Bye bool `json:"bye,omitempty"`
	// Kick is a name whose streams end.
	Kick string `json:"kick,omitempty"`
	// End says which streams end as on a reload.
	End *NoticeEnd `json:"end,omitempty"`
	// Signal is for those who read a room now.
	Signal *NoticeSignal `json:"signal,omitempty"`
	// Ask asks which of some people have streams at the others' nodes.
	Ask *Question `json:"ask,omitempty"`
	// Answer answers the question of one of them.
	Answer *Answer `json:"answer,omitempty"`
	// All announces that rooms that are neither in this notice nor in the next ones
	// have no readers.
	All bool `json:"all,omitempty"`
	// Rooms are rooms whose readers on the sender's node may have changed.
	Rooms []NoticeRoom `json:"rooms,omitempty"`
}

// NoticeSignal is a signal for a room.
type NoticeSignal struct {
	Room string `json:"room"`
	wire.Signal
}

// NoticeEnd names the room whose streams end; "" is all rooms.
type NoticeEnd struct {
	Room string `json:"room,omitempty"`
}

// NoticeRoom is who reads a room at the sender's node. A Count of 0 is nobody.
type NoticeRoom struct {
	Room    string `json:"room"`
	Count   int    `json:"count"`
	Unnamed int    `json:"unnamed,omitempty"` // people without a name
	// Names are distinct, at most [presence.MaxNames].
	Names []string `json:"names,omitempty"`
	// People are readers that other nodes can recognize, at most
	// [presence.MaxNames], so that a person who reads at two nodes is counted once;
	// see [EncodePerson].
	People []string `json:"people,omitempty"`
}

// Numbered reports whether a peer that misses the notice has to notice that.
func (n *Notice) Numbered() bool { return n.All || n.Rooms != nil }

// Size returns the approximate size of the room's JSON in bytes.
func (n *NoticeRoom) Size() int {
	size := 64 + len(n.Room)
	for _, name := range n.Names {
		size += len(name) + 3
	}
	for _, key := range n.People {
		size += len(key) + 3
	}
	return size
}

const namelessMark = "?"

// EncodePerson encodes a person's key, and whether the person has a name, for
// [NoticeRoom].People.
func EncodePerson(key string, named bool) string {
	if named {
		return key
	}
	return namelessMark + key
}

// decodePerson is the reverse of EncodePerson.
func decodePerson(told string) (key string, named bool) {
	key, nameless := strings.CutPrefix(told, namelessMark)
	return key, !nameless
}

// people returns the keys of the known people, and whether they have a name.
func (n *NoticeRoom) people() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, told := range n.People {
			if !yield(decodePerson(told)) {
				return
			}
		}
	}
}
