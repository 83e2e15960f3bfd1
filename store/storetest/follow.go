package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func testRoundTrip(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	// names that look like paths, subjects or keys, or are prefixes of each other
	for _, room := range []string{
		store.Lobby, "a", "aa", "A", "b.", "a.b", ".a", ".", "..", "...", "a..b", "-", "_", "__", strings.Repeat("방", 64), strings.Repeat("𠀀", 64), "Z_-9",
	} {
		var want []*store.Message
		for _, draft := range []store.Draft{
			{Text: "x"},
			{Text: strings.Repeat("\n", 30<<10)},
			{Text: "a\u2028\"\\\t🫖", Name: strings.Repeat("n", 64), Nonce: strings.Repeat("N", 64)},
			{Text: "y", Nonce: "1"},
			{Text: "z", Name: "김"},
		} {
			m := MustAppend(t, s, room, draft)[0]
			if again := store.NewMessage(m.ID, room, draft); string(m.Frame()) != string(again.Frame()) || m.Room != room {
				t.Fatalf("%+v was stored as %q in %q", draft, m.Frame(), m.Room)
			}
			want = append(want, m)
		}
		page, err := s.After(t.Context(), store.Span{Rooms: []string{room}, UpTo: s.State().Latest}, 100)
		if err != nil || len(page.Messages) != len(want) {
			t.Fatalf("%d messages of %d in %q, %v", len(page.Messages), len(want), room, err)
		}
		for i, m := range page.Messages {
			if m.ID != want[i].ID || string(m.Frame()) != string(want[i].Frame()) || m.Room != room {
				t.Errorf("%q came back as %q of %q", want[i].Frame(), m.Frame(), m.Room)
			}
		}
		if page.Lost[0] != (store.ID{}) {
			t.Errorf("%q has lost %v", room, page.Lost)
		}
	}
}

// testFollow runs readers that read up to the newest message again and again while
// others publish.
func testFollow(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	rooms := []string{"a", "b", "c", "d"}
	const publishers, each = 4, 100
	var publishing sync.WaitGroup
	for w := range publishers {
		publishing.Go(func() {
			for i := range each {
				if _, err := s.Append(t.Context(), rooms[(w+i)%len(rooms)], []store.Draft{Text("%d", i)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	published := make(chan struct{})
	go func() {
		publishing.Wait()
		close(published)
	}()
	var reading sync.WaitGroup
	read := make([][]store.ID, 3)
	for r := range read {
		reading.Go(func() {
			span := store.Span{Rooms: rooms}
			for last := false; ; {
				span.UpTo = s.State().Latest
				page, err := s.After(t.Context(), span, 3+r*10)
				if err != nil {
					t.Error(err)
					return
				}
				read[r] = append(read[r], ids(page.Messages)...)
				if page.More {
					span.After = page.Messages[len(page.Messages)-1].ID
					continue
				}
				span.After = span.UpTo
				if last {
					return
				}
				select {
				case <-published:
					last = true
				default:
				}
			}
		})
	}
	reading.Wait()
	want, _ := all(t, s, store.ID{}, rooms...)
	if len(want) != publishers*each {
		t.Fatalf("%d messages are stored, want %d", len(want), publishers*each)
	}
	for r := range read {
		equal(t, fmt.Sprintf("reader %d", r), read[r], want)
	}
}

func testGiveUp(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Append(ctx, "a", []store.Draft{Text("x")}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("one who gives up is told %v", err)
	}
	m := MustAppend(t, s, "a", Text("y"))[0]
	_, findErr := s.Find(ctx, "a", "", "n")
	_, afterErr := s.After(ctx, store.Span{Rooms: []string{"a"}, UpTo: m.ID}, 1)
	_, beforeErr := s.Before(ctx, "a", m.ID, 1)
	_, tailErr := s.Tail(ctx, []string{"a"}, m.ID, 1)
	for _, err := range []error{findErr, afterErr, beforeErr, tailErr} {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("one who gives up reading is told %v", err)
		}
	}
	found, _ := all(t, s, store.ID{}, "a")
	if len(found) == 0 || found[len(found)-1] != m.ID {
		t.Errorf("found %v, want %v at the end", found, m.ID)
	}
}

// Reopen closes a store like the end of its process, and opens it again.
type Reopen func(t *testing.T, s store.Store, hub store.Hub, limits store.Limits) store.Store

// RunDurable runs the tests of stores whose log survives the process.
func RunDurable(t *testing.T, open Open, reopen Reopen) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Open, Reopen)
	}{
		{"messages, losses and nonces outlive the process", testOutlive},
		{"what is kept may be less after a restart", testLessKept},
		{"the idlest room makes room after a restart too", testRoomsReopened},
		{"a store without a message begins where it began", testEmptyReopened},
		{"nonces, and what was deleted, outlive the process", testNoncesReopened},
		{"all that a change makes of a message outlives the process", testChangesReopened},
		{"who was away over a restart learns of what has changed", testRevisionsReopened},
		{"what deletions leave is bounded over a restart", testGravesReopened},
		{"a change with a nonce is made once, over a restart too", testChangeNoncesReopened},
		{"a cursor outlives the process, until it is dropped", testCursorReopened},
		{"who was away over a restart is told which rooms have news", testSinceReopened},
		{"it behaves as a naive model that is never closed", testModelReopened},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open, reopen) })
	}
}

func testOutlive(t *testing.T, open Open, reopen Reopen) {
	limits := store.Limits{Count: 3, Rooms: 10}
	s := open(t, new(Hub), limits)
	var a []store.ID
	for i := range 5 {
		a = append(a, MustAppend(t, s, "a", store.Draft{Text: fmt.Sprint(i), Nonce: fmt.Sprint(i)})[0].ID)
	}
	b := MustAppend(t, s, "b", Text("x"))[0].ID
	c := MustAppend(t, s, "c", Text("x"), Text("y"))
	if err := s.Delete(t.Context(), c[1].ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), c[0].ID); err != nil {
		t.Fatal(err)
	}
	before := s.State()
	if !before.Durable {
		t.Error("the store does not call itself durable")
	}

	hub := new(Hub)
	s = reopen(t, s, hub, limits)
	if after := s.State(); after != before {
		t.Errorf("the state is %+v, was %+v", after, before)
	}
	found, lost := all(t, s, store.ID{}, "a", "b", "c", "none")
	equal(t, "kept", found, append(slices.Clone(a[2:]), b))
	equal(t, "lost", lost, []store.ID{a[1], {}, {}, {}})
	if len(hub.Delivered()) > 0 {
		t.Error("old messages are delivered again")
	}
	// the nonce of a message that its room still has, and of one that it has not
	for i, id := range a {
		draft := store.Draft{Text: "other", Nonce: fmt.Sprint(i)}
		again, err := s.Append(t.Context(), "a", []store.Draft{draft})
		want := store.NewMessage(id, "a", store.Draft{Text: fmt.Sprint(i), Nonce: fmt.Sprint(i)})
		if err != nil || !again[0].Repeat || string(again[0].Message.Frame()) != string(want.Frame()) {
			t.Errorf("a repeat is answered %+v, %v, want %s", again, err, want.JSON())
		}
		if found, err := s.Find(t.Context(), "a", "", draft.Nonce); err != nil || !found.Repeat || found.ID != id {
			t.Errorf("Find = %+v, %v, want %v", found, err, id)
		}
	}
	if m := MustAppend(t, s, "c", Text("z"))[0]; !m.ID.After(before.Latest) {
		t.Errorf("the next id is %v, after %v", m.ID, before.Latest)
	}
}

func testLessKept(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), store.Limits{Count: 100, Rooms: 10})
	var sent []store.ID
	for i := range 50 {
		sent = append(sent, MustAppend(t, s, "a", Text("%d", i))[0].ID)
	}
	for _, count := range []int{30, 7} {
		s = reopen(t, s, new(Hub), store.Limits{Count: count, Rooms: 10})
		found, lost := all(t, s, store.ID{}, "a")
		equal(t, "kept", found, sent[50-count:])
		equal(t, "lost", lost, []store.ID{sent[49-count]})
	}
}

func testRoomsReopened(t *testing.T, open Open, reopen Reopen) {
	limits := store.Limits{Count: 10, Rooms: 3}
	s := open(t, new(Hub), limits)
	MustAppend(t, s, "a", Text("x"))
	b := MustAppend(t, s, "b", Text("x"), Text("y"))[1].ID
	MustAppend(t, s, "c", Text("x"))
	MustAppend(t, s, "a", Text("x"))
	s = reopen(t, s, new(Hub), limits)
	MustAppend(t, s, "d", Text("x")) // b was idle longest
	for range 2 {
		found, lost := all(t, s, store.ID{}, "b")
		equal(t, "kept of b", found, nil)
		equal(t, "lost of b", lost, []store.ID{b})
		if found, _ := all(t, s, store.ID{}, "a", "c", "d"); len(found) != 4 {
			t.Errorf("%d messages of the other rooms, want 4", len(found))
		}
		s = reopen(t, s, new(Hub), limits)
	}
}

func testEmptyReopened(t *testing.T, open Open, reopen Reopen) {
	s := open(t, new(Hub), Plenty)
	before := s.State()
	s = reopen(t, s, new(Hub), Plenty)
	if after := s.State(); after != before || after.Origin.IsZero() {
		t.Errorf("the state is %+v, was %+v", after, before)
	}
}
