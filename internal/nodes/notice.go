// Package nodes is what the instances of a hub on several nodes tell each other:
// who reads where, and what moderators have ordered.
package nodes

import (
	"iter"
	"strings"
)

// Notice is what hubs of one log tell each other.
type Notice struct {
	// Number is of this notice if it is numbered, else of the last that was.
	Number uint64 `json:"number,omitempty"`
	// Hello asks all others for everything.
	Hello bool `json:"hello,omitempty"`
	// Bye tells that the sender is gone.
	Bye bool `json:"bye,omitempty"`
	// Kick is a name whose streams end.
	Kick string `json:"kick,omitempty"`
	// End is whose streams end as on a reload.
	End *NoticeEnd `json:"end,omitempty"`
	// All tells that rooms not in this notice, or in those that follow it,
	// have no readers.
	All   bool         `json:"all,omitempty"`
	Rooms []NoticeRoom `json:"rooms,omitempty"`
}

// NoticeEnd names the room whose streams end; without a name it is all.
type NoticeEnd struct {
	Room string `json:"room,omitempty"`
}

// NoticeRoom is who reads a room at the sender's node.
type NoticeRoom struct {
	Room    string `json:"room"`
	Count   int    `json:"count"`
	Unnamed int    `json:"unnamed,omitempty"`
	// Names are distinct, at most maxNames.
	Names []string `json:"names,omitempty"`
	// People are those whom another node can recognise, at most maxNames, so
	// that who reads at two nodes is counted once; see [TellPerson].
	People []string `json:"people,omitempty"`
}

// Numbered reports whether a peer that misses the notice has to notice that.
func (n *Notice) Numbered() bool { return n.All || n.Rooms != nil }

// Size is about how many bytes the JSON has.
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

// TellPerson writes the key of a person, and whether the person has a name.
func EncodePerson(key string, named bool) string {
	if named {
		return key
	}
	return namelessMark + key
}

// personTold is the reverse of tellPerson.
func decodePerson(told string) (key string, named bool) {
	key, nameless := strings.CutPrefix(told, namelessMark)
	return key, !nameless
}

// people returns who is known, and whether they have a name.
func (n *NoticeRoom) people() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, told := range n.People {
			if !yield(decodePerson(told)) {
				return
			}
		}
	}
}
