package memory

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

func TestStore(t *testing.T) {
	open := func(t *testing.T, hub store.Hub, limits store.Limits) store.Store {
		s := Open(hub, limits)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	storetest.Run(t, open)
	t.Run("a change without effect", func(t *testing.T) { storetest.RunIneffective(t, open, nil) })
}

func TestNoncesAreForgottenAfterTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Open(new(storetest.Hub), storetest.Plenty)
		defer s.Close()
		draft := store.Draft{Text: "x", Nonce: "n"}
		first := storetest.MustAppend(t, s, "a", draft)[0]
		time.Sleep(store.NonceLife - time.Second)
		if again := storetest.MustAppend(t, s, "a", draft)[0]; again.ID != first.ID {
			t.Error("a nonce is forgotten too soon")
		}
		time.Sleep(2 * time.Second)
		if again := storetest.MustAppend(t, s, "a", draft)[0]; again.ID == first.ID {
			t.Error("a nonce is known too long")
		}
		time.Sleep(store.NonceLife + 2*time.Minute)
		synctest.Wait()
		if n := s.nonces.queue.Len(); n != 0 || s.sweep != nil {
			t.Errorf("%d nonces are left in an idle store, sweeping: %v", n, s.sweep != nil)
		}
	})
}

func TestOldMessagesAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Open(new(storetest.Hub), store.Limits{Count: 100, Age: time.Minute, Rooms: 1000})
		defer s.Close()
		for i := range 500 {
			storetest.MustAppend(t, s, fmt.Sprint("r", i), storetest.Text("x"))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(s.rooms); n != 0 {
			t.Errorf("%d rooms are left of old messages", n)
		}
	})
}

// Rooms without messages are dropped within a minute unless they have readers, or it has
// to be told that a message was deleted.
func TestRoomsThatHoldNothingAreForgotten(t *testing.T) {
	for _, test := range []struct {
		name  string
		limit store.Limits
		empty func(t *testing.T, s *Store, id store.ID)
	}{
		{"nothing is kept", store.Limits{Rooms: 100_000}, func(*testing.T, *Store, store.ID) {}},
		{"all was deleted, too long ago to be told", store.Limits{Count: 10, Age: 30 * time.Second, Rooms: 100_000}, func(t *testing.T, s *Store, id store.ID) {
			if err := s.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}},
		{"nothing is kept any more", store.Limits{Count: 10, Rooms: 100_000}, func(_ *testing.T, s *Store, _ store.ID) {
			s.Limit(store.Limits{Rooms: 100_000})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := new(storetest.Hub)
				s := Open(hub, test.limit)
				defer s.Close()
				hub.Read("r0", true)
				for i := range 200 {
					id := storetest.MustAppend(t, s, fmt.Sprint("r", i), storetest.Text("x"))[0].ID
					test.empty(t, s, id)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if n := len(s.rooms); n != 1 {
					t.Errorf("%d rooms are left, want the one that is read", n)
				}
				hub.Read("r0", false)
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := len(s.rooms); n != 0 || s.sweep != nil {
					t.Errorf("%d rooms are left, and the store is swept: %v", n, s.sweep != nil)
				}
			})
		})
	}
}

// A room that people publish to is not dropped again and again, even if nothing is
// kept: each drop would cause a gap for readers of other rooms.
func TestEmptyRoomsAreDroppedFirst(t *testing.T) {
	hub := new(storetest.Hub)
	s := Open(hub, store.Limits{Count: 10, Rooms: 4})
	defer s.Close()
	storetest.MustAppend(t, s, "full", store.Draft{Text: "x"})
	for _, room := range []string{"deleted", "forgotten", "refilled"} {
		m := storetest.MustAppend(t, s, room, store.Draft{Text: "x"})[0]
		if room != "forgotten" {
			if err := s.Delete(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		} else if err := s.Forget(t.Context(), room); err != nil {
			t.Fatal(err)
		}
	}
	storetest.MustAppend(t, s, "refilled", store.Draft{Text: "x"})
	storetest.MustAppend(t, s, "full", store.Draft{Text: "x"})
	for _, next := range []string{"deleted", "forgotten", "refilled", "full"} {
		if s.rooms[next] == nil {
			t.Fatalf("%s is gone too early", next)
		}
		storetest.MustAppend(t, s, "instead of "+next, store.Draft{Text: "x"})
		if s.rooms[next] != nil {
			t.Errorf("%s is kept, of %d rooms", next, len(s.rooms))
		}
	}
}

func TestARoomThatIsTalkedInIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Open(new(storetest.Hub), store.Limits{Rooms: 10})
		defer s.Close()
		for range 60 {
			storetest.MustAppend(t, s, "busy", storetest.Text("x"))
			time.Sleep(10 * time.Second)
		}
		if !s.lost.IsZero() {
			t.Error("a room that was published to every 10 s was forgotten")
		}
	})
}

func TestNoncesStayBounded(t *testing.T) {
	const size = 8 << 20
	s := Open(new(storetest.Hub), store.Limits{Rooms: 1, Size: size})
	defer s.Close()
	draft := store.Draft{Text: strings.Repeat("x", 30<<10)}
	for i := range 1000 {
		draft.Nonce = fmt.Sprint(i)
		storetest.MustAppend(t, s, "r", draft)
	}
	if s.nonces.bytes > size/4 {
		t.Errorf("nonces hold %d bytes, more than %d", s.nonces.bytes, size/4)
	}
	oldest := 1000 - s.nonces.queue.Len()
	if oldest == 0 || s.nonces.find("r", "", fmt.Sprint(oldest-1)).Repeat || !s.nonces.find("r", "", fmt.Sprint(oldest)).Repeat {
		t.Errorf("not the oldest is forgotten first: %d nonces are left", s.nonces.queue.Len())
	}
}

func TestTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock storetest.Clock
		s := open(new(storetest.Hub), storetest.Plenty, clock.Now)
		defer s.Close()
		storetest.RunClock(t, &clock, s)
	})
}
