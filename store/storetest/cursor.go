package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// openCursor opens a cursor that is closed when the test ends.
func openCursor(t *testing.T, s store.Store, name string) store.Cursor {
	t.Helper()
	c, err := s.(store.Cursors).OpenCursor(t.Context(), name)
	if err != nil {
		t.Fatalf("OpenCursor: %v", err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) }) // the store may be closed before
	return c
}

// since returns the rooms that may have something newer than an id, and the newest loss of
// the others.
func since(t *testing.T, s store.Store, id store.ID) (rooms []string, lost store.ID) {
	t.Helper()
	rooms, lost, err := s.(store.RoomFinder).Since(t.Context(), id)
	if err != nil {
		t.Fatalf("Since: %v", err)
	}
	slices.Sort(rooms)
	return rooms, lost
}

// testCursorReopened checks that a cursor is where it was saved, over a restart too, until
// it is dropped.
func testCursorReopened(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), Plenty)
	if _, ok := s.(store.Cursors); !ok {
		t.Fatal("a durable store has no cursors")
	}
	first := MustAppend(t, s, "a", Text("1"))[0]
	c := openCursor(t, s, "x")
	if c.At() != first.ID {
		t.Errorf("a new cursor is at %v, want the newest message %v", c.At(), first.ID)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := MustAppend(t, s, "a", Text("2"), Text("3"))[0]
	s = reopen(t, s, new(Hub), Plenty)
	c = openCursor(t, s, "x")
	if c.At() != first.ID {
		t.Errorf("it is at %v after a restart, want where it began: %v", c.At(), first.ID)
	}
	if other := openCursor(t, s, "y"); other.At() != s.State().Latest {
		t.Errorf("another one is at %v, want the end of the log", other.At())
	}
	if err := c.Save(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, s, new(Hub), Plenty)
		if c = openCursor(t, s, "x"); c.At() != second.ID {
			t.Errorf("it is at %v, was saved at %v", c.At(), second.ID)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := MustAppend(t, s, "b", Text("4"))[0]
	for range 2 { // dropping what is not there is no error
		if err := s.(store.Cursors).DropCursor(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if c = openCursor(t, s, "x"); c.At() != last.ID {
		t.Errorf("after it was dropped it is at %v, want the newest message %v", c.At(), last.ID)
	}
}

// testSince checks that a reader who was away is told of every room that has, or has lost,
// something since then, and hardly of others.
func testSince(t *testing.T, open Open) {
	sinceAfter(t, open, func(s store.Store, _ store.Limits) store.Store { return s })
}

// testSinceReopened is testSince over restarts.
func testSinceReopened(t *testing.T, open Open, reopen Reopen) {
	sinceAfter(t, open, func(s store.Store, limits store.Limits) store.Store { return reopen(t, s, new(Hub), limits) })
}

func sinceAfter(t *testing.T, open Open, again func(store.Store, store.Limits) store.Store) {
	limits := store.Limits{Count: 2, Rooms: 6}
	s := open(t, new(Hub), limits)
	MustAppend(t, s, "old", Text("1"))
	changed := MustAppend(t, s, "changed", store.Draft{Text: "x", Owner: kim})[0]
	deleted := MustAppend(t, s, "deleted", store.Draft{Text: "x", Owner: kim})[0]
	at := MustAppend(t, s, "forgotten", Text("x"))[0].ID
	check := func(when string, want ...string) {
		t.Helper()
		rooms, lost := since(t, s, at)
		if !slices.Equal(rooms, want) || lost.After(at) {
			t.Errorf("%s: since %v there are %q, and %v is lost; want %q and nothing", when, at, rooms, lost, want)
		}
	}
	check("before anything")
	must(t, s, changed, edit(kim, "y"))
	must(t, s, deleted, remove(kim))
	if err := s.Forget(t.Context(), "forgotten"); err != nil {
		t.Fatal(err)
	}
	MustAppend(t, s, "방", Text("x"))
	check("at once", "changed", "deleted", "forgotten", "방")
	for range 2 {
		s = again(s, limits)
		check("later", "changed", "deleted", "forgotten", "방")
	}
	// a room that is dropped with what the reader has not seen is a loss
	for _, room := range []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7"} {
		MustAppend(t, s, room, Text("x"))
	}
	s = again(s, limits)
	rooms, lost := since(t, s, at)
	if !lost.After(at) && !slices.Contains(rooms, "방") {
		t.Errorf("a room was dropped: there are %q, and %v is lost, after %v", rooms, lost, at)
	}
}
