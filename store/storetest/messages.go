package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func testDeliver(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	origin := s.State().Origin
	var want []store.ID
	for i := range 50 {
		m := MustAppend(t, s, fmt.Sprintf("r%d", i%3), store.Draft{Text: fmt.Sprint(i), Name: "kim"})[0]
		if !m.ID.After(origin) || len(want) > 0 && !m.ID.After(want[len(want)-1]) {
			t.Fatalf("id %v after %v, origin %v", m.ID, want, origin)
		}
		if now := time.Now().UnixMilli(); m.ID.Ms > now+1000 || m.ID.Ms < now-10_000 {
			t.Fatalf("id %v, but the time is %d", m.ID, now)
		}
		want = append(want, m.ID)
		equal(t, "delivered", ids(hub.Delivered()), want)
		if got := s.State().Latest; got != m.ID {
			t.Fatalf("latest is %v, want %v", got, m.ID)
		}
		stored := store.NewMessage(m.ID, m.Room, store.Draft{Text: fmt.Sprint(i), Name: "kim"})
		if got := hub.Delivered()[i]; string(got.Frame()) != string(stored.Frame()) || got.Room != stored.Room {
			t.Fatalf("delivered %q in %q, want %q", got.Frame(), got.Room, stored.Frame())
		}
	}
	found, _ := all(t, s, store.ID{}, "r0", "r1", "r2")
	equal(t, "stored", found, want)
}

func testBatch(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range 5 {
				drafts := make([]store.Draft, 10)
				for i := range drafts {
					drafts[i] = Text("%d %d", w, i)
				}
				if _, err := s.Append(t.Context(), "r", drafts); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	delivered := hub.Delivered()
	if len(delivered) != 400 {
		t.Fatalf("%d messages, want 400", len(delivered))
	}
	for i := 0; i < len(delivered); i += 10 {
		var worker, n int
		for j := range 10 {
			var w int
			if _, err := fmt.Sscanf(string(delivered[i+j].JSON()), `{"text":"%d %d"`, &w, &n); err != nil || n != j || j > 0 && w != worker {
				t.Fatalf("message %d of the batch at %d is %s", j, i, delivered[i+j].JSON())
			}
			worker = w
		}
	}
}

func testConcurrent(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	const workers, each = 16, 50
	got := make([][]store.ID, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				receipts, err := s.Append(t.Context(), fmt.Sprintf("r%d", (w+i)%4), []store.Draft{Text("%d", i)})
				if err != nil {
					t.Error(err)
					return
				}
				got[w] = append(got[w], receipts[0].Message.ID)
			}
		})
	}
	wg.Wait()
	var acknowledged []store.ID
	for _, list := range got {
		if !slices.IsSortedFunc(list, store.ID.Compare) {
			t.Fatalf("one publisher's ids are not in order: %v", list)
		}
		acknowledged = append(acknowledged, list...)
	}
	slices.SortFunc(acknowledged, store.ID.Compare)
	equal(t, "delivered", ids(hub.Delivered()), acknowledged)
	found, _ := all(t, s, store.ID{}, "r0", "r1", "r2", "r3")
	equal(t, "stored", found, acknowledged)
}

func testCount(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 3, Rooms: 10})
	var sent []store.ID
	for i := range 8 {
		sent = append(sent, MustAppend(t, s, "a", Text("%d", i))[0].ID)
	}
	other := MustAppend(t, s, "b", Text("x"))[0].ID
	found, lost := all(t, s, store.ID{}, "a", "b", "empty")
	equal(t, "kept", found, append(slices.Clone(sent[5:]), other))
	equal(t, "lost", lost, []store.ID{sent[4], {}, {}})
	page, err := s.Before(t.Context(), "a", sent[7], 10)
	if err != nil || page.More {
		t.Fatalf("Before: more %v, %v", page.More, err)
	}
	equal(t, "before the newest", ids(page.Messages), sent[5:7])
}

func testAge(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 100, Age: 300 * time.Millisecond, Rooms: 10})
	old := MustAppend(t, s, "a", Text("old"))[0].ID
	time.Sleep(400 * time.Millisecond)
	fresh := MustAppend(t, s, "a", Text("fresh"))[0].ID
	found, lost := all(t, s, store.ID{}, "a")
	equal(t, "kept", found, []store.ID{fresh})
	equal(t, "lost", lost, []store.ID{old})
	if page, err := s.Before(t.Context(), "a", fresh.Next(), 10); err != nil || len(page.Messages) != 1 || page.More {
		t.Errorf("Before sees %v, more %v, %v", ids(page.Messages), page.More, err)
	}
	tail, err := s.Tail(t.Context(), []string{"a"}, s.State().Latest, 10)
	if err != nil || tail.Oldest != fresh || tail.Start != fresh.Prev() {
		t.Errorf("Tail = %+v, %v, want it to begin at %v", tail, err, fresh)
	}
}

func testKeepNothing(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, store.Limits{Rooms: 10})
	sent := MustAppend(t, s, "a", Text("x"))[0].ID
	equal(t, "delivered", ids(hub.Delivered()), []store.ID{sent})
	found, lost := all(t, s, store.ID{}, "a")
	equal(t, "kept", found, nil)
	equal(t, "lost", lost, []store.ID{sent})
}

func testLimit(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	var sent []store.ID
	for i := range 10 {
		sent = append(sent, MustAppend(t, s, "a", Text("%d", i))[0].ID)
	}
	s.Limit(store.Limits{Count: 4, Rooms: 10})
	found, lost := all(t, s, store.ID{}, "a")
	equal(t, "kept", found, sent[6:])
	equal(t, "lost", lost, []store.ID{sent[5]})
}

func testRooms(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 10, Rooms: 3})
	MustAppend(t, s, "a", Text("x"))
	b := MustAppend(t, s, "b", Text("x"), Text("y"))[1].ID
	MustAppend(t, s, "c", Text("x"))
	MustAppend(t, s, "a", Text("x"))
	MustAppend(t, s, "d", Text("x")) // b was idle longest
	found, lost := all(t, s, store.ID{}, "b")
	equal(t, "kept of b", found, nil)
	equal(t, "lost of b", lost, []store.ID{b})
	if found, _ := all(t, s, store.ID{}, "a", "c", "d"); len(found) != 4 {
		t.Errorf("%d messages of the other rooms, want 4", len(found))
	}
}

func testRoomsRead(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, store.Limits{Count: 10, Rooms: 2})
	MustAppend(t, s, "a", Text("x"))
	MustAppend(t, s, "b", Text("x"))
	hub.Read("a", true)
	MustAppend(t, s, "c", Text("x")) // instead of b
	if found, _ := all(t, s, store.ID{}, "a"); len(found) != 1 {
		t.Error("a room with a reader was dropped")
	}
	hub.Read("c", true)
	if _, err := s.Append(t.Context(), "d", []store.Draft{Text("x")}); !errors.Is(err, store.ErrTooManyRooms) {
		t.Errorf("a room too many: %v, want %v", err, store.ErrTooManyRooms)
	}
	if _, err := s.Append(t.Context(), "a", []store.Draft{Text("x")}); err != nil {
		t.Errorf("a message in an old room: %v", err)
	}
}

func testDelete(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	var sent []store.ID
	for i := range 5 {
		sent = append(sent, MustAppend(t, s, "a", store.Draft{Text: fmt.Sprint(i), Nonce: fmt.Sprint(i)})[0].ID)
	}
	if err := s.Delete(t.Context(), sent[2]); err != nil {
		t.Fatal(err)
	}
	equal(t, "told", hub.deleted, []store.ID{sent[2]})
	found, lost := all(t, s, store.ID{}, "a")
	equal(t, "kept", found, slices.Concat(sent[:2], sent[3:]))
	equal(t, "lost", lost, []store.ID{{}})
	for _, id := range []store.ID{sent[2], {}, sent[4].Next()} {
		if err := s.Delete(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Delete(%v) = %v, want %v", id, err, store.ErrNotFound)
		}
	}
}

func testForget(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	a := MustAppend(t, s, "a", Text("x"))[0].ID
	b := MustAppend(t, s, "b", Text("x"))[0].ID
	if err := s.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(hub.forgotten, []string{"a"}) {
		t.Errorf("told of %v, want a", hub.forgotten)
	}
	found, lost := all(t, s, store.ID{}, "a", "b")
	equal(t, "kept", found, []store.ID{b})
	if lost[0].Compare(a) < 0 {
		t.Errorf("lost of a is %v, want at least %v", lost[0], a)
	}
	later := MustAppend(t, s, "a", Text("y"))[0].ID
	if found, _ = all(t, s, store.ID{}, "a"); !slices.Equal(found, []store.ID{later}) {
		t.Errorf("later in a: %v, want %v", found, later)
	}
}

func testRoomList(t *testing.T, open Open) {
	s := open(t, new(Hub), store.Limits{Count: 2, Rooms: 1000})
	lister, ok := s.(store.Lister)
	if !ok {
		t.Skipf("%T cannot tell", s)
	}
	check := func(want map[string]int) {
		t.Helper()
		if got, err := lister.Rooms(t.Context()); err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	check(nil)
	only := MustAppend(t, s, "a", Text("1"))[0]
	MustAppend(t, s, "b", Text("1"), Text("2"), Text("3"))
	MustAppend(t, s, "c", Text("1"))
	check(map[string]int{"a": 1, "b": 2, "c": 1})
	if err := s.Delete(t.Context(), only.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	check(map[string]int{"c": 1})
	many := make(map[string]int)
	for i := range 300 {
		room := fmt.Sprintf("room-%03d", i)
		MustAppend(t, s, room, Text("1"), Text("2"))
		many[room] = 2
	}
	many["c"] = 1
	check(many)
	s.Limit(store.Limits{Count: 1, Rooms: 1000})
	for room := range many {
		many[room] = 1
	}
	check(many)
}

func testClosed(t *testing.T, open Open) {
	s := open(t, new(Hub), Plenty)
	MustAppend(t, s, "a", Text("x"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, rooms := t.Context(), []string{"a"}
	_, appendErr := s.Append(ctx, "a", []store.Draft{Text("x")})
	_, findErr := s.Find(ctx, "a", "", "n")
	_, afterErr := s.After(ctx, store.Span{Rooms: rooms}, 1)
	_, beforeErr := s.Before(ctx, "a", store.ID{}, 1)
	_, tailErr := s.Tail(ctx, rooms, store.ID{}, 1)
	for _, err := range []error{appendErr, findErr, afterErr, beforeErr, tailErr, s.Delete(ctx, store.ID{}), s.Forget(ctx, "a")} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("a closed store returns %v", err)
		}
	}
	s.Limit(Plenty) // must not panic
}
