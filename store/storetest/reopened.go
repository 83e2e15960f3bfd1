package storetest

import (
	"fmt"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// testChangesReopened checks that all that a change makes of a message outlives the
// process.
func testChangesReopened(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), Plenty)
	draft := store.Draft{Text: "a\n🫖", Name: "kim", Owner: kim, Author: "12345678901", Nonce: "n", Event: "order", Data: `{"a":[1]}`, ReplyTo: store.ID{Ms: 7, N: 2}}
	m := MustAppend(t, s, "방", draft)[0]
	untouched := MustAppend(t, s, "방", draft, Text("other"))[1]
	m = must(t, s, m, add(kim, " b"))
	m = must(t, s, m, react(lee, "👍"))
	m = must(t, s, m, react(kim, "👍"))
	m = must(t, s, m, react(kim, "🎉"))
	before := s.State()
	for range 2 {
		hub := new(Hub)
		s = reopen(t, s, hub, Plenty)
		if after := s.State(); after != before {
			t.Errorf("the state is %+v, was %+v", after, before)
		}
		got := current(t, s, "방", m.ID)
		if string(got.Frame()) != string(m.Frame()) || got.Owner != kim || got.Revision() != m.Revision() {
			t.Errorf("it came back as %s of %q at %v, want %s at %v", got.JSON(), got.Owner, got.Revision(), m.JSON(), m.Revision())
		}
		if got := current(t, s, "방", untouched.ID); !got.Revision().IsZero() {
			t.Errorf("%s has the revision %v", got.JSON(), got.Revision())
		}
		if len(hub.Delivered())+len(hub.Deltas()) > 0 {
			t.Error("old entries are passed on again")
		}
	}
	// a repeat of what was published is answered with the message as it is now
	found, err := s.Find(t.Context(), "방", kim, "n")
	if err != nil || found.Message == nil || string(found.Message.Frame()) != string(m.Frame()) {
		t.Errorf("Find = %+v, %v, want %s", found, err, m.JSON())
	}
	refused(t, s, "방", m.ID, edit(lee, "z"), store.ErrNotYours)
	jsonHas(t, must(t, s, m, unreact(lee, "👍")), `"reactions":{"👍":{"count":1,"by":["kim"]},"🎉":{"count":1,"by":["kim"]}}`)
	later := must(t, s, m, edit(kim, "new"))
	if !later.Revision().After(before.Latest) {
		t.Errorf("the revision is %v, after %v", later.Revision(), before.Latest)
	}
	must(t, s, later, remove(kim))
}

// testRevisionsReopened checks that who was away over a restart learns of all that has
// changed.
func testRevisionsReopened(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), Plenty)
	rooms := []string{"a", "b", "c"}
	var sent []*store.Message
	for i := range 60 {
		sent = append(sent, MustAppend(t, s, rooms[i%2], store.Draft{Text: fmt.Sprint(i), Owner: kim})[0])
	}
	forgotten := MustAppend(t, s, "c", Text("x"))[0]
	reader := NewReader()
	_, start := reader.Catch(t, s, store.ID{}, 7, rooms...)
	for i := range 100 {
		must(t, s, sent[i%20], add(kim, "x"))
	}
	s = reopen(t, s, new(Hub), Plenty)
	for _, m := range sent[15:25] {
		must(t, s, m, remove(kim))
	}
	must(t, s, sent[0], edit(kim, "edited"))
	if err := s.Forget(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = reopen(t, s, new(Hub), Plenty)
		again := reader.Clone()
		if notices, _ := again.Catch(t, s, start, 7, rooms...); notices != 26 {
			t.Errorf("%d notices of 25 messages and a room", notices)
		}
		again.Check(t, s, rooms...)
		if _, shown := again.Shown[forgotten.ID]; shown {
			t.Error("a forgotten message is shown")
		}
	}
	for _, m := range sent[15:25] {
		refused(t, s, m.Room, m.ID, add(kim, "y"), store.ErrNotFound)
	}
}

// testGravesReopened checks that what is left of deletions stays bounded, and that a
// reader of whom too much is unknown is told so.
func testGravesReopened(t *testing.T, open Open, reopen Reopen) {
	const count, many = 120, 300
	limits := store.Limits{Count: count, Rooms: 10}
	s := open(t, new(Hub), limits)
	var removed []*store.Message
	for i := range many {
		m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
		removed = append(removed, m)
		must(t, s, m, remove(kim))
		if i == many/2 {
			s = reopen(t, s, new(Hub), limits)
		}
	}
	s = reopen(t, s, new(Hub), limits)
	for after, told := range map[store.ID]bool{removed[0].ID: false, removed[many-1].ID: true} {
		page, err := s.After(t.Context(), store.Span{Rooms: []string{"a"}, After: after, UpTo: s.State().Latest, Changes: true}, 2*many)
		if err != nil {
			t.Fatal(err)
		}
		if lost := page.Lost[0].After(after); lost == told || len(page.Messages) > count {
			t.Errorf("after %v, %d deletions are told, of a room that keeps %d messages; others are lost: %t", after, len(page.Messages), count, lost)
		}
	}
}

// testChangeNoncesReopened checks that a change that was made before a restart is not
// made again after it.
func testChangeNoncesReopened(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), Plenty)
	m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim, Nonce: "n"})[0]
	other := MustAppend(t, s, "a", store.Draft{Text: "y", Owner: kim})[0]
	change, deletion := add(kim, "1"), remove(kim)
	change.Nonce, deletion.Nonce = "n", "d"
	m = must(t, s, m, change)
	must(t, s, other, deletion)
	m = must(t, s, m, edit(kim, "z"))
	for range 2 {
		s = reopen(t, s, new(Hub), Plenty)
		latest := s.State().Latest
		again, err := s.Change(t.Context(), "a", m.ID, change)
		if err != nil || !again.Repeat || again.Message == nil || string(again.Message.Frame()) != string(m.Frame()) {
			t.Errorf("a repeat is answered %+v, %v, want %s", again, err, m.JSON())
		}
		again, err = s.Change(t.Context(), "a", other.ID, deletion)
		if err != nil || again != (store.Receipt{ID: other.ID, Repeat: true}) {
			t.Errorf("a repeat of a deletion is answered %+v, %v", again, err)
		}
		if got := s.State().Latest; got != latest {
			t.Errorf("repeats move the log from %v to %v", latest, got)
		}
	}
	// neither another message nor another owner has made it
	stranger := change
	stranger.By = lee
	refused(t, s, "a", m.ID, stranger, store.ErrNotYours)
	refused(t, s, "a", other.ID, change, store.ErrNotFound)
}
