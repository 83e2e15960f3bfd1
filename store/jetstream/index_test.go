package jetstream

import (
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func id(n uint64) store.ID { return store.ID{Ms: 1000 + int64(n), N: n} }

func idRange(from, to uint64) (list []store.ID) {
	for n := from; n <= to; n++ {
		list = append(list, id(n))
	}
	return list
}

// joined returns an index of a stream that has had 50 messages, and still has stored
// messages of room a.
func joined(stored int) *index {
	x := newIndex()
	x.begun = id(50)
	x.expect("a", stored)
	return x
}

func TestWhatARoomHasLostBeforeTheIndexBegan(t *testing.T) {
	const count, physical = 10, 20
	for _, test := range []struct {
		name    string
		index   func() *index
		older   []store.ID
		ids     []store.ID
		lost    store.ID
		guessed bool
	}{
		{
			"a room that was never full has lost nothing", func() *index { return joined(5) },
			idRange(40, 44), idRange(40, 44),
			store.ID{},
			false,
		},
		{
			"what readers cannot see is lost, and known exactly", func() *index { return joined(15) },
			idRange(30, 44), idRange(35, 44), id(34), false,
		},
		{"of a room that is full, but not to readers, the place is known", func() *index {
			x := joined(20)
			x.deletions["a"] = 15
			return x
		}, idRange(40, 44), idRange(40, 44), id(40).Prev(), true},
		{"deletions hide that a room was full", func() *index {
			x := joined(12)
			x.deletions["a"] = 8
			return x
		}, idRange(40, 44), idRange(40, 44), id(40).Prev(), true},
		{"a room that was forgotten has lost what it had", func() *index {
			x := newIndex()
			x.begun = id(50)
			x.forget("a", id(41))
			x.expect("a", 3)
			return x
		}, idRange(40, 44), idRange(42, 44), id(41), false},
		{"a deleted message that is still in the stream is not seen", func() *index {
			x := joined(5)
			x.delete("a", id(42), id(50), 10)
			return x
		}, idRange(40, 44), []store.ID{id(40), id(41), id(43), id(44)}, store.ID{}, false},
		{"the stream has kept less until a while ago", func() *index {
			x := newIndex()
			x.begun = id(50)
			x.limitsChanged(id(30))
			x.expect("a", 5)
			return x
		}, idRange(40, 44), idRange(40, 44), id(30), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := test.index()
			x.fill("a", test.older, count, physical)
			v := x.view("a", store.ID{}, id(100), store.ID{})
			if !slices.Equal(v.ids, test.ids) || v.lost != (loss{test.lost, test.guessed}) {
				t.Errorf("ids %v, lost %v; want %v, %v, guessed %t", v.ids, v.lost, test.ids, test.lost, test.guessed)
			}
			if x.size != len(test.ids) {
				t.Errorf("the size is %d, want %d", x.size, len(test.ids))
			}
		})
	}
}

func TestWhatComesWhileARoomIsLoadedIsKeptOnce(t *testing.T) {
	x := joined(5)
	x.push("a", id(51), 10)
	x.push("a", id(52), 10)
	if x.covers("a", id(44)) || !x.covers("a", id(51)) {
		t.Error("what is known of a room is not what came since")
	}
	x.fill("a", append(idRange(40, 44), id(51)), 10, 20)
	want := append(idRange(40, 44), id(51), id(52))
	if got := x.idsOf("a"); !slices.Equal(got, want) {
		t.Errorf("ids are %v, want %v", got, want)
	}
}

func TestARoomThatOverflowsNeedsNoLoading(t *testing.T) {
	x := joined(5)
	for n := uint64(51); n <= 61; n++ {
		x.push("a", id(n), 10)
	}
	if v := x.view("a", store.ID{}, id(100), store.ID{}); !x.covers("a", store.ID{}) || v.lost.id != id(51) || len(v.ids) != 10 {
		t.Errorf("covered %v, lost %v, %d ids", x.covers("a", store.ID{}), v.lost, len(v.ids))
	}
}

func TestDoubtKeepsNoIDButNoSilence(t *testing.T) {
	x := newIndex()
	x.intact = true
	for n := uint64(1); n <= 5; n++ {
		x.push("a", id(n), 10)
	}
	x.push("quiet", id(6), 10)
	x.restart(id(60), map[string]int{"a": 20, "quiet": 1})
	x.fill("a", idRange(41, 60), 10, 20)
	x.fill("quiet", []store.ID{id(6)}, 10, 20)
	if v := x.view("a", store.ID{}, id(100), store.ID{}); v.lost.id != id(50) {
		t.Errorf("lost of a full room is %v, want %v", v.lost, id(50))
	}
	if v := x.view("quiet", store.ID{}, id(100), store.ID{}); !v.lost.id.IsZero() || len(v.ids) != 1 {
		t.Errorf("a quiet room has %v and lost %v", v.ids, v.lost)
	}
}

func TestNamesOfRoomsAreReversible(t *testing.T) {
	to := subjectsOf("S")
	for _, name := range []string{"lobby", "a.b", "방", "..", "~x", "*", ">", "a_b-C9"} {
		got, ok := to.roomOf(to.room(name))
		if !ok || got != name {
			t.Errorf("room %q becomes %q, %v", name, got, ok)
		}
	}
	for _, subject := range []string{"other", to.changes(), "sse_chat.S.room.~", "sse_chat.S.room.~!"} {
		if name, ok := to.roomOf(subject); ok {
			t.Errorf("subject %q is taken for room %q", subject, name)
		}
	}
}

func TestHowMuchAnIndexKnowsOfARoom(t *testing.T) {
	published := func(x *index) { x.push("a", id(60), 10) }
	for _, test := range []struct {
		name   string
		before func(*index) // what happened to an index that has counted room a
		want   knowledge
	}{
		{"the stream has messages of it", func(*index) {}, counted},
		{"a message was published", published, counted},
		{"as many were published as readers can see", func(x *index) {
			for n := range uint64(11) {
				x.push("a", id(60+n), 10)
			}
		}, complete},
		{"older ids were loaded", func(x *index) { x.fill("a", idRange(40, 44), 10, 20) }, complete},
		{"its older messages were forgotten", func(x *index) { published(x); x.forget("a", id(50)) }, complete},
		{"the limits have changed", func(x *index) { x.limitsChanged(id(60)) }, uncounted},
		{"the limits have changed after its ids were loaded", func(x *index) {
			x.fill("a", idRange(40, 44), 10, 20)
			x.limitsChanged(id(60))
		}, complete},
		{"its ids were discarded", func(x *index) { x.discard(x.rooms["a"]) }, uncounted},
		{"the index begins anew", func(x *index) {
			x.discard(x.rooms["a"])
			x.restart(id(70), map[string]int{"a": 3})
		}, counted},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := joined(5)
			test.before(x)
			if got := x.rooms["a"].known; got != test.want {
				t.Errorf("the knowledge is %d, want %d", got, test.want)
			}
		})
	}
}
