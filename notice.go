package ssechat

import "strings"

// notice is what hubs of one log tell each other.
type notice struct {
	// Number is of this notice if it is numbered, else of the last that was.
	Number uint64 `json:"number,omitempty"`
	// Hello asks all others for everything.
	Hello bool `json:"hello,omitempty"`
	// Bye tells that the sender is gone.
	Bye bool `json:"bye,omitempty"`
	// Kick is a name whose streams end.
	Kick string `json:"kick,omitempty"`
	// End is whose streams end as on a reload.
	End *noticeEnd `json:"end,omitempty"`
	// All tells that rooms not in this notice, or in those that follow it,
	// have no readers.
	All   bool         `json:"all,omitempty"`
	Rooms []noticeRoom `json:"rooms,omitempty"`
}

// noticeEnd names the room whose streams end; without a name it is all.
type noticeEnd struct {
	Room string `json:"room,omitempty"`
}

// noticeRoom is who reads a room at the sender's node.
type noticeRoom struct {
	Room    string `json:"room"`
	Count   int    `json:"count"`
	Unnamed int    `json:"unnamed,omitempty"`
	// Names are distinct, at most maxNames.
	Names []string `json:"names,omitempty"`
	// People are those whom another node can recognise, at most maxNames, so
	// that who reads at two nodes is counted once; see [tellPerson].
	People []string `json:"people,omitempty"`
}

// numbered reports whether a peer that misses the notice has to notice that.
func (n *notice) numbered() bool { return n.All || n.Rooms != nil }

// here returns who reads the room at this node, no more than others are told.
func (r *room) here() noticeRoom {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	sum := r.presence.summary()
	here := noticeRoom{Room: r.name, Count: sum.count, Unnamed: sum.unnamed, Names: r.presence.localNames()}
	for _, p := range r.presence.people.first(maxNames) {
		here.People = append(here.People, tellPerson(p.key, p.value.named > 0))
	}
	return here
}

// size is about how many bytes the JSON has.
func (n *noticeRoom) size() int {
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

// tellPerson writes the key of a person, and whether the person has a name.
func tellPerson(key string, named bool) string {
	if named {
		return key
	}
	return namelessMark + key
}

// personTold is the reverse of tellPerson.
func personTold(told string) (key string, named bool) {
	key, nameless := strings.CutPrefix(told, namelessMark)
	return key, !nameless
}
