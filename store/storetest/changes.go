package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// The owners in these tests.
var (
	kim = store.OwnerByName("kim")
	lee = store.OwnerByKey(strings.Repeat("abcdefghijk", 4)[:43])
)

// maxText is the longest text in these tests.
const maxText = 1000

// edit, add, react and remove return changes by an owner.
func edit(by store.Owner, text string) store.Change {
	return store.Change{Kind: store.Edit, By: by, Text: text, HasText: true, MaxText: maxText}
}

func add(by store.Owner, text string) store.Change {
	return store.Change{Kind: store.Append, By: by, Text: text, MaxText: maxText}
}

func react(by store.Owner, kind string) store.Change {
	return store.Change{Kind: store.React, By: by, Text: kind}
}

func unreact(by store.Owner, kind string) store.Change {
	return store.Change{Kind: store.Unreact, By: by, Text: kind}
}

func remove(by store.Owner) store.Change { return store.Change{Kind: store.Delete, By: by} }

// must makes a change and returns the message as it is after that.
func must(t testing.TB, s store.Store, m *store.Message, c store.Change) *store.Message {
	t.Helper()
	receipt, err := s.Change(t.Context(), m.Room, m.ID, c)
	if err != nil {
		t.Fatalf("%s of %v: %v", c.Kind, m.ID, err)
	}
	if receipt.ID != m.ID || (receipt.Message == nil) != (c.Kind == store.Delete) {
		t.Fatalf("%s of %v is answered %+v", c.Kind, m.ID, receipt)
	}
	return receipt.Message
}

// refused checks that a change is refused with an error, and changes nothing.
func refused(t testing.TB, s store.Store, room string, id store.ID, c store.Change, want error) {
	t.Helper()
	before := s.State().Latest
	if receipt, err := s.Change(t.Context(), room, id, c); !errors.Is(err, want) {
		t.Errorf("%s of %v in %s by %q is answered %+v, %v, want %v", c.Kind, id, room, c.By, receipt, err, want)
	}
	if latest := s.State().Latest; latest != before {
		t.Errorf("a change that is refused moves the log from %v to %v", before, latest)
	}
}

// jsonHas checks that a message or notice has a piece of JSON.
func jsonHas(t testing.TB, m *store.Message, piece string) {
	t.Helper()
	if !strings.Contains(string(m.JSON()), piece) {
		t.Errorf("%s lacks %s", m.JSON(), piece)
	}
}

func testChange(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	draft := store.Draft{Text: "a\"b\n🫖", Name: "kim", Owner: kim, Author: "12345678901", Nonce: "n", Event: "order", Data: `{"a":[1,"\u2028"]}`, ReplyTo: store.ID{Ms: 7, N: 2}}
	m := MustAppend(t, s, "방", draft)[0]
	other := MustAppend(t, s, "방", Text("other"))[0]
	after := must(t, s, m, add(kim, " \\c"))
	jsonHas(t, after, `{"text":"a\"b\n🫖 \\c","timestamp":`)
	for _, piece := range []string{`"name":"kim","nonce":"n","author":"12345678901","event":"order","data":{"a":[1,"\u2028"]},"reply_to":"7-2","edited":`, `"room":"방"`} {
		jsonHas(t, after, piece)
	}
	if after.ID != m.ID || !after.Revision().After(other.ID) || after.Owner != kim {
		t.Errorf("%s has the id %v, the revision %v and the owner %q", after.JSON(), after.ID, after.Revision(), after.Owner)
	}
	if latest := s.State().Latest; latest != after.Revision() {
		t.Errorf("the log ends at %v, and the revision is %v", latest, after.Revision())
	}
	delta := hub.Deltas()[0]
	if want := fmt.Sprintf("event: change\nid: %v\ndata: {\"id\":\"%v\",\"room\":\"방\",\"append\":\" \\\\c\",\"at\":6,\"edited\":%d}\n\n", after.Revision(), m.ID, after.Revision().Ms); string(delta.Frame()) != want {
		t.Errorf("the delta is %q, want %q", delta.Frame(), want)
	}
	if delta.ID != after.Revision() || delta.About() != m.ID || string(hub.changed[0].Frame()) != string(after.Frame()) {
		t.Errorf("the delta is %v of %v, with %s", delta.ID, delta.About(), hub.changed[0].JSON())
	}
	edited := must(t, s, after, edit(kim, "new"))
	jsonHas(t, hub.Deltas()[1], `"text":"new","edited":`)
	withData := must(t, s, edited, store.Change{Kind: store.Edit, By: kim, Data: "[2]", MaxText: maxText})
	jsonHas(t, withData, `{"text":"new"`)
	jsonHas(t, withData, `"data":[2]`)
	jsonHas(t, hub.Deltas()[2], `"room":"방","data":[2],"edited":`)
	page, err := s.After(t.Context(), store.Span{Rooms: []string{"방"}, UpTo: s.State().Latest}, 10)
	if err != nil || len(page.Messages) != 2 || string(page.Messages[0].Frame()) != string(withData.Frame()) || page.Messages[0].Owner != kim {
		t.Errorf("the room has %v, %v, want %s in the place of the first", page.Messages, err, withData.JSON())
	}
	before, err := s.Before(t.Context(), "방", other.ID, 10)
	if err != nil || len(before.Messages) != 1 || string(before.Messages[0].Frame()) != string(withData.Frame()) {
		t.Errorf("before the other there is %v, %v", before.Messages, err)
	}
	// a repeat of what was published is answered with the message as it is now
	answers(t, s, "방", draft, withData)
}

func testChangeRefused(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: lee})[0]
	nobodys := MustAppend(t, s, "a", Text("y"))[0]
	for _, by := range []store.Owner{"", kim, store.OwnerByName(lee.Tag()), lee[:len(lee)-1], lee + "x", "key:", "name:"} {
		for _, c := range []store.Change{edit(by, "z"), add(by, "z"), remove(by)} {
			refused(t, s, "a", m.ID, c, store.ErrNotYours)
			refused(t, s, "a", nobodys.ID, c, store.ErrNotYours)
		}
	}
	refused(t, s, "a", m.ID, react("", "👍"), store.ErrNobody)
	refused(t, s, "a", m.ID, add(lee, strings.Repeat("z", maxText)), store.ErrTooLong)
	refused(t, s, "a", m.ID, edit(lee, strings.Repeat("z", maxText+1)), store.ErrTooLong)
	for _, c := range []store.Change{edit(lee, "z"), react(lee, "👍"), remove(lee)} {
		refused(t, s, "b", m.ID, c, store.ErrNotFound)
		refused(t, s, "a", store.ID{Ms: m.ID.Ms, N: m.ID.N + 1000}, c, store.ErrNotFound)
		refused(t, s, "a", store.ID{}, c, store.ErrNotFound)
	}
	if len(hub.Deltas()) > 0 || len(hub.deleted) > 0 {
		t.Errorf("the hub is told of %v and %v", hub.Deltas(), hub.deleted)
	}
	moderated := edit("", "z")
	moderated.Moderator = true
	jsonHas(t, must(t, s, nobodys, moderated), `"text":"z"`)
	moderated = remove(kim)
	moderated.Moderator = true
	must(t, s, m, moderated)
}

func testReactions(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	m := MustAppend(t, s, "a", Text("x"))[0]
	m = must(t, s, m, react(kim, "👍"))
	m = must(t, s, m, react(lee, "👍"))
	jsonHas(t, m, `"reactions":{"👍":{"count":2,"by":["kim","abcdefghijk"]}}`)
	if strings.Contains(string(m.JSON()), "edited") {
		t.Errorf("a reaction edits %s", m.JSON())
	}
	latest := s.State().Latest
	must(t, s, m, react(kim, "👍"))
	must(t, s, m, unreact(kim, "🎉"))
	if got := s.State().Latest; got != latest || len(hub.Deltas()) != 2 {
		t.Errorf("reactions without effect move the log from %v to %v, and %d deltas", latest, got, len(hub.Deltas()))
	}
	m = must(t, s, m, unreact(kim, "👍"))
	m = must(t, s, m, unreact(lee, "👍"))
	if strings.Contains(string(m.JSON()), "reactions") {
		t.Errorf("no reaction is left in %s", m.JSON())
	}
	deltas := hub.Deltas()
	jsonHas(t, deltas[len(deltas)-1], `"reactions":{}`)

	var racing sync.WaitGroup
	for w := range 4 {
		racing.Go(func() {
			for i := range store.MaxReactionKinds {
				_, err := s.Change(t.Context(), "a", m.ID, react(store.OwnerByName(fmt.Sprint(w)), fmt.Sprint("kind", i+w)))
				if err != nil && !errors.Is(err, store.ErrManyReactions) {
					t.Error(err)
				}
			}
		})
	}
	racing.Wait()
	refused(t, s, "a", m.ID, react(kim, "one too many"), store.ErrManyReactions)
	found := current(t, s, "a", m.ID)
	if n := strings.Count(string(found.JSON()), `"count":`); n != store.MaxReactionKinds {
		t.Errorf("%d kinds of reactions, want %d", n, store.MaxReactionKinds)
	}
}

// current returns a message as the store has it.
func current(t testing.TB, s store.Store, room string, id store.ID) *store.Message {
	t.Helper()
	page, err := s.After(t.Context(), store.Span{Rooms: []string{room}, After: id.Prev(), UpTo: id}, 1)
	if err != nil || len(page.Messages) != 1 {
		t.Fatalf("%v is %v, %v", id, page.Messages, err)
	}
	return page.Messages[0]
}

func testChangeNonce(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim, Nonce: "n"})[0]
	other := MustAppend(t, s, "a", store.Draft{Text: "y", Owner: kim})[0]
	change := add(kim, "1")
	change.Nonce = "n" // the nonces of messages are others
	first := must(t, s, m, change)
	jsonHas(t, first, `"text":"x1"`)
	jsonHas(t, must(t, s, other, change), `"text":"y1"`)
	later := must(t, s, m, add(kim, "2"))
	again, err := s.Change(t.Context(), "a", m.ID, change)
	if err != nil || !again.Repeat || again.Message == nil || string(again.Message.Frame()) != string(later.Frame()) {
		t.Errorf("a repeat is answered %+v, %v, want %s", again, err, later.JSON())
	}
	stranger := change
	stranger.By = lee
	refused(t, s, "a", m.ID, stranger, store.ErrNotYours)
	deletion := remove(kim)
	deletion.Nonce = "d"
	must(t, s, m, deletion)
	for _, c := range []store.Change{deletion, change} {
		again, err = s.Change(t.Context(), "a", m.ID, c)
		if err != nil || !again.Repeat || again.ID != m.ID || again.Message != nil {
			t.Errorf("a repeat after the deletion is answered %+v, %v", again, err)
		}
	}
	isGone(t, s, "a", store.Draft{Text: "x", Owner: kim, Nonce: "n"}, m.ID)
	if len(hub.Deltas()) != 3 || len(hub.deleted) != 1 {
		t.Errorf("the hub is told of %d changes and %d deletions", len(hub.Deltas()), len(hub.deleted))
	}
}

// RunIneffective tests that a change without effect is not made later, when it is repeated
// under its nonce. reopen may be nil.
func RunIneffective(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), Plenty)
	m := MustAppend(t, s, "a", Text("x"))[0]
	must(t, s, m, react(kim, "👍"))
	under := func(c store.Change, nonce string) store.Change {
		c.Nonce = nonce
		return c
	}
	latest := s.State().Latest
	must(t, s, m, under(react(kim, "👍"), "1"))
	must(t, s, m, under(unreact(kim, "🎉"), "2"))
	if got := s.State().Latest; got != latest {
		t.Errorf("reactions without effect move the log from %v to %v", latest, got)
	}
	must(t, s, m, unreact(kim, "👍"))
	want := must(t, s, m, react(kim, "🎉"))
	if reopen != nil {
		s = reopen(t, s, new(Hub), Plenty)
	}
	for _, c := range []store.Change{under(react(kim, "👍"), "1"), under(unreact(kim, "🎉"), "2")} {
		again, err := s.Change(t.Context(), "a", m.ID, c)
		if err != nil || !again.Repeat || again.Message == nil || string(again.Message.Frame()) != string(want.Frame()) {
			t.Errorf("a repeat of a change without effect is answered %+v, %v", again, err)
		}
	}
	next := MustAppend(t, s, "a", store.Draft{Text: "y", Nonce: "n"})[0]
	answers(t, s, "a", store.Draft{Text: "y", Nonce: "n"}, next)
}

func testAuthorDeletes(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	first := MustAppend(t, s, "a", Text("1"))[0]
	m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim, Nonce: "n"})[0]
	m = must(t, s, m, add(kim, "y"))
	must(t, s, m, remove(kim))
	equal(t, "told", hub.deleted, []store.ID{m.ID})
	found, lost := all(t, s, store.ID{}, "a")
	equal(t, "kept", found, []store.ID{first.ID})
	equal(t, "lost", lost, []store.ID{{}})
	for _, c := range []store.Change{remove(kim), edit(kim, "z"), react(lee, "👍")} {
		refused(t, s, "a", m.ID, c, store.ErrNotFound)
	}
	isGone(t, s, "a", store.Draft{Text: "x", Owner: kim, Nonce: "n"}, m.ID)
	if latest := s.State().Latest; !latest.After(m.Revision()) {
		t.Errorf("a deletion leaves the log at %v, after %v", latest, m.Revision())
	}
}

func testChangesRace(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	m := MustAppend(t, s, "a", store.Draft{Text: "", Owner: kim, Data: "1"})[0]
	const writers, each = 8, 20
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if i%5 == 0 {
					if _, err := s.Append(t.Context(), "a", []store.Draft{Text("%d", i)}); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.Change(t.Context(), "a", m.ID, add(kim, string(rune('a'+w)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	reader := NewReader()
	delivered, deltas := hub.Delivered(), hub.Deltas()
	for _, m := range delivered {
		if err := reader.Take(m); err != nil {
			t.Fatal(err)
		}
	}
	last := store.ID{}
	for _, delta := range deltas {
		if !delta.ID.After(last) {
			t.Fatalf("the revision %v comes after %v", delta.ID, last)
		}
		last = delta.ID
		if err := reader.Take(delta); err != nil {
			t.Fatal(err)
		}
	}
	reader.Check(t, s, "a")
	if text := reader.Shown[m.ID].Text; len(text) != writers*each {
		t.Errorf("the text has %d letters, want %d", len(text), writers*each)
	}
}

func testChangeClosed(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(t.Context(), "a", m.ID, add(kim, "y")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed store answers a change with %v", err)
	}
}
