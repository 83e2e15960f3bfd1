package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func testRevisions(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	rooms := []string{"a", "b", "c"}
	var sent []*store.Message
	for i := range 100 {
		sent = append(sent, MustAppend(t, s, rooms[i%2], store.Draft{Text: fmt.Sprint(i), Owner: kim})[0])
	}
	forgotten := MustAppend(t, s, "c", Text("x"))[0]
	early := NewReader()
	if n, _ := early.Catch(t, s, store.ID{}, 7, rooms...); n != 0 {
		t.Errorf("%d notices before any change", n)
	}
	start := s.State().Latest
	for i := range 300 {
		must(t, s, sent[i%30], add(kim, "x"))
	}
	for _, m := range sent[:10] {
		must(t, s, m, react(lee, "👍"))
	}
	for _, m := range sent[25:35] {
		must(t, s, m, remove(kim))
	}
	if err := s.Forget(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	later := MustAppend(t, s, "a", store.Draft{Text: "later", Owner: kim})[0]
	must(t, s, later, edit(kim, "edited"))
	notices, _ := early.Catch(t, s, start, 7, rooms...)
	if notices != 36 && notices != 37 { // the message that is still to come may have one
		t.Errorf("%d notices of 35 messages and a room", notices)
	}
	early.Check(t, s, rooms...)
	if _, shown := early.Shown[forgotten.ID]; shown {
		t.Error("a forgotten message is shown")
	}
	late := NewReader()
	if n, _ := late.Catch(t, s, store.ID{}, 1000, rooms[:2]...); n != 10 && n != 10+25+1 {
		t.Errorf("one who begins is told of %d changes, want the 10 deletions", n)
	}
	late.Check(t, s, rooms[:2]...)
	if n, _ := late.Catch(t, s, s.State().Latest, 7, rooms...); n != 0 {
		t.Errorf("one who has everything is told of %d changes", n)
	}
}

// A page up to an id lacks messages that have changed since then, and says so.
func testAhead(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	a := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
	b := MustAppend(t, s, "b", store.Draft{Text: "x", Owner: kim})[0]
	start := s.State().Latest
	must(t, s, a, add(kim, "1"))
	upTo := s.State().Latest
	check := func(want store.ID, messages int, rooms ...string) {
		t.Helper()
		span := store.Span{Rooms: rooms, After: start, UpTo: upTo, Changes: true}
		page, err := s.After(t.Context(), span, 10)
		if err != nil || len(page.Messages) != messages || want.After(page.Ahead) || want.IsZero() != page.Ahead.IsZero() {
			t.Errorf("%v has %d entries, ahead %v, %v, want %d, at least %v", rooms, len(page.Messages), page.Ahead, err, messages, want)
		}
	}
	check(store.ID{}, 1, "a", "b")
	newest := must(t, s, a, add(kim, "2")).Revision()
	check(newest, 0, "a", "b")
	check(store.ID{}, 0, "b")
	must(t, s, b, remove(kim))
	check(s.State().Latest, 0, "b")
	page, err := s.After(t.Context(), store.Span{Rooms: []string{"a", "b"}, After: start, UpTo: upTo}, 10)
	if err != nil || !page.Ahead.IsZero() {
		t.Errorf("without changes the page is %+v, %v", page, err)
	}
}

// A client may have messages newer than the id up to which it has read: from the history,
// or from the answer to its own publish.
func testDeletedAhead(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	MustAppend(t, s, "a", Text("x"))
	start := s.State().Latest
	reader := NewReader()
	for i := range 3 {
		m := MustAppend(t, s, "a", store.Draft{Text: fmt.Sprint(i), Owner: kim})[0]
		if err := reader.Take(m); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			m = must(t, s, m, add(kim, "y"))
		}
		if i < 2 {
			must(t, s, m, remove(kim))
		}
	}
	if n, _ := reader.Catch(t, s, start, 1, "a"); n < 2 {
		t.Errorf("%d notices of 2 deletions", n)
	}
	if len(reader.Shown) != 1 {
		t.Errorf("%v is shown, want only the last message", reader.Shown)
	}
}

// Notices are encoded for each reader, so a page has only as many as it needs to be
// worthwhile.
func testPageOfNotices(t *testing.T, open Open) {
	const many, textLen = 64, 8 << 10
	s := open(t, new(Hub), Plenty)
	drafts := make([]store.Draft, many)
	for i := range drafts {
		drafts[i] = store.Draft{Text: strings.Repeat("x", textLen), Owner: kim}
	}
	sent := MustAppend(t, s, "a", drafts...)
	reader := NewReader()
	_, start := reader.Catch(t, s, store.ID{}, 2*many, "a")
	for _, m := range sent {
		must(t, s, m, react(lee, "👍"))
	}
	span := store.Span{Rooms: []string{"a"}, After: start, UpTo: s.State().Latest, Changes: true}
	page, err := s.After(t.Context(), span, many)
	if n := len(page.Messages); err != nil || n == 0 || n > many/4 || !page.More {
		t.Errorf("a page has %d notices, more %t, %v", n, page.More, err)
	}
	if n, _ := reader.Catch(t, s, start, many, "a"); n != many {
		t.Errorf("%d notices, want %d", n, many)
	}
	reader.Check(t, s, "a")
}

// A room that was dropped cannot tell of its changes any more. That concerns only readers
// who ask for changes.
func testChangedRoomDropped(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 10, Rooms: 2})
	m := MustAppend(t, s, "dropped", store.Draft{Text: "x", Owner: kim})[0]
	reader := NewReader()
	_, start := reader.Catch(t, s, store.ID{}, 10, "dropped", "never")
	must(t, s, m, react(lee, "👍"))
	must(t, s, m, remove(kim))
	for _, room := range []string{"b", "c"} {
		MustAppend(t, s, room, Text("y"))
	}
	page, err := s.After(t.Context(), store.Span{Rooms: []string{"dropped", "never"}, After: start, UpTo: s.State().Latest}, 10)
	if err != nil || page.Lost[0].After(start) || page.Lost[1].After(start) {
		t.Errorf("without changes the page is %+v, %v, and the reader was at %v", page, err, start)
	}
	reader.Catch(t, s, start, 10, "dropped", "never")
	if len(reader.Shown) > 0 {
		t.Errorf("%v is still shown", reader.Shown)
	}
	back := MustAppend(t, s, "dropped", Text("z"))[0]
	reader = NewReader()
	if err := reader.Take(m); err != nil {
		t.Fatal(err)
	}
	reader.Catch(t, s, start, 10, "dropped")
	if _, ok := reader.Shown[back.ID]; !ok || len(reader.Shown) != 1 {
		t.Errorf("%v is shown of a room that was dropped and is back", reader.Shown)
	}
}

// A tail knows of the deletions that cannot be told any more, so that a reader who begins
// there need not be told that something is missing.
func testTailOfUnknown(t *testing.T, open Open) {
	const many = 200
	s := open(t, new(Hub), Plenty)
	MustAppend(t, s, "a", Text("x"))
	drafts := make([]store.Draft, many)
	for i := range drafts {
		drafts[i] = store.Draft{Text: "y", Owner: kim}
	}
	for _, m := range MustAppend(t, s, "a", drafts...) {
		must(t, s, m, remove(kim))
	}
	s.Limit(store.Limits{Count: 10, Rooms: 10})
	MustAppend(t, s, "a", Text("z"))
	m := MustAppend(t, s, "a", store.Draft{Text: "y", Owner: kim})[0]
	must(t, s, m, remove(kim)) // in a file the limit is applied with the next deletion
	tail, err := s.Tail(t.Context(), []string{"a", "never"}, s.State().Latest, 10)
	if err != nil {
		t.Fatal(err)
	}
	span := store.Span{Rooms: []string{"a", "never"}, After: tail.Start, UpTo: s.State().Latest, Changes: true}
	page, err := s.After(t.Context(), span, 2*many)
	if err != nil || len(page.Messages) < 2 {
		t.Fatalf("the page is %+v, %v", page, err)
	}
	for i, lost := range page.Lost {
		if lost.After(tail.Lost[i]) {
			t.Errorf("the page has lost %v, the tail %v", page.Lost, tail.Lost)
		}
	}
}

func testGraves(t *testing.T, open Open) {
	const count, many = 120, 300
	s := open(t, new(Hub), store.Limits{Count: count, Rooms: 10})
	first := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
	var removed []*store.Message
	for range many {
		m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
		removed = append(removed, m)
		must(t, s, m, remove(kim))
	}
	found, lost := all(t, s, store.ID{}, "a")
	equal(t, "kept", found, []store.ID{first.ID})
	equal(t, "lost", lost, []store.ID{{}})
	entries := func(after store.ID) (n int, lost bool) {
		t.Helper()
		page, err := s.After(t.Context(), store.Span{Rooms: []string{"a"}, After: after, UpTo: s.State().Latest, Changes: true}, 2*many)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Messages), page.Lost[0].After(after)
	}
	if n, lost := entries(removed[many-1].ID); n != 1 || lost {
		t.Errorf("after the newest message come %d entries, lost %t, want its deletion", n, lost)
	}
	// one who has the first of those messages is told that something is missing
	if n, lost := entries(removed[0].ID); n > count || !lost {
		t.Errorf("%d deletions are kept, of a room that keeps %d messages; others are lost: %t", n, count, lost)
	}
	for range count + 1 {
		MustAppend(t, s, "a", Text("y"))
	}
	if n, _ := entries(removed[many-1].ID); n != count {
		t.Errorf("%d entries, want only the %d messages", n, count)
	}
}
