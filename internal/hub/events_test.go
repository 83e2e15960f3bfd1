package hub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

func watcher(name string, rooms ...string) *Subscription {
	sub := defaults(rooms...)
	sub.Events, sub.Name = true, name
	return sub
}

func named(name string, rooms ...string) *Subscription {
	sub := defaults(rooms...)
	sub.Name = name
	return sub
}

func names(events []chattest.Event) (list []string) {
	for _, e := range events {
		list = append(list, e.Name)
	}
	return list
}

func TestNamedEventsAtTheStart(t *testing.T) {
	b := newTestHub(t, store.Limits{Count: 3, Rooms: 100})
	var ids []string
	for i := range 5 {
		ids = append(ids, b.mustPublish(t, "a", fmt.Sprint(i)).String())
	}
	type helloData struct {
		Rooms          []string
		Now            int64
		Latest, Oldest string
		PingMs         int64 `json:"ping_ms"`
		Resumed        bool
	}
	for _, test := range []struct {
		name  string
		rooms []string
		id    string
		last  int
		hello helloData
		want  []string // names of the events
	}{
		{"fresh", []string{"a"}, "", 0, helloData{Latest: ids[4], Oldest: ids[2]}, []string{"hello", "live", "presence"}},
		{"with the newest", []string{"a"}, "", 2, helloData{Latest: ids[4], Oldest: ids[2]}, []string{"hello", "", "", "live", "presence"}},
		{"resumed", []string{"a"}, ids[3], 0, helloData{Latest: ids[4], Oldest: ids[2], Resumed: true}, []string{"hello", "", "live", "presence"}},
		{"resumed after a loss", []string{"a"}, ids[0], 0, helloData{Latest: ids[4], Oldest: ids[2]}, []string{"hello", "gap", "", "", "", "live", "presence"}},
		{"in empty rooms", []string{"b", "방"}, "", 5, helloData{}, []string{"hello", "live", "presence", "presence"}},
		{"with a strange id", []string{"b"}, "x", 0, helloData{}, []string{"hello", "gap", "live", "presence"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sub := watcher("", test.rooms...)
			sub.LastEventID, sub.Last = test.id, test.last
			s := b.mustSubscribe(t, sub)
			defer s.Close()
			events := chattest.ParseStream(s.pending(t))
			if got := names(events); !slices.Equal(got, test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
			var hello helloData
			events[0].Decode(t, &hello)
			if d := time.Since(time.UnixMilli(hello.Now)); d < 0 || d > time.Minute {
				t.Errorf("now is %d", hello.Now)
			}
			test.hello.Now, test.hello.Rooms, test.hello.PingMs = hello.Now, test.rooms, 15000
			if fmt.Sprint(hello) != fmt.Sprint(test.hello) {
				t.Errorf("hello %+v, want %+v", hello, test.hello)
			}
			for _, e := range events {
				// hello moves it to where the stream begins, if the client knows no place
				if begins := e.Name == "hello" && test.id == ""; e.Name != "" && (e.ID != "") != begins {
					t.Errorf("a named event moves the cursor: %+v", e)
				}
				if want := fmt.Sprintf(`{"latest":"%s"}`, test.hello.Latest); e.Name == "live" && e.Data != want {
					t.Errorf("live %s, want %s", e.Data, want)
				}
			}
		})
	}
}

func TestLiveComesAfterALongReplay(t *testing.T) {
	b := newTestHub(t, plenty)
	text := strings.Repeat("x", 20<<10)
	var newest store.ID
	for range 20 {
		newest = b.mustPublish(t, "a", text)
	}
	sub := watcher("", "a")
	sub.Last = 20
	s := b.mustSubscribe(t, sub)
	defer s.Close()
	events := chattest.ParseStream(s.pending(t))
	if got := names(events); len(got) != 23 || got[21] != "live" {
		t.Fatalf("got %q", got)
	}
	if want := fmt.Sprintf(`{"latest":"%s"}`, newest); events[21].Data != want {
		t.Errorf("live %s, want %s", events[21].Data, want)
	}
}

func TestDeletesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		first, second := b.mustPublish(t, "a", "x"), b.mustPublish(t, "a", "y")
		watching, plain := b.read(t, watcher("", "a")), b.read(t, defaults("a"))
		synctest.Wait()
		watching.take()
		if err := b.Delete(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := fmt.Sprintf("event: delete\nid: %s\ndata: {\"id\":\"%s\",\"room\":\"a\"}\n\n", b.State().Latest, first)
		if got := watching.take(); got != want {
			t.Errorf("a page was told %q, want %q", got, want)
		}
		if got := plain.take(); got != "" {
			t.Errorf("a plain client was told %q", got)
		}
		// one that was away when it happened
		sub := watcher("", "a")
		sub.LastEventID = second.String()
		back := b.read(t, sub)
		synctest.Wait()
		if got := back.take(); !strings.Contains(got, want) {
			t.Errorf("a page that came back was told %q", got)
		}
		for _, r := range []*reader{watching, plain, back} {
			r.stop()
		}
	})
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		w := b.read(t, watcher("kim", "a"))
		last := func() chattest.PresenceData {
			t.Helper()
			events := chattest.ParseStream(w.take())
			if len(events) != 1 {
				t.Fatalf("got %+v, want one event", events)
			}
			return events[0].Presence(t)
		}
		want := func(what string, got chattest.PresenceData, count int, names ...string) {
			t.Helper()
			if got.Room != "a" || got.Count != count || !slices.Equal(got.Names, names) {
				t.Fatalf("%s: presence %+v, want %d, %v", what, got, count, names)
			}
		}
		synctest.Wait()
		events := chattest.ParseStream(w.take())
		want("at the start", events[len(events)-1].Presence(t), 1, "kim")

		// all streams count, also those that do not ask
		lee, nobody := b.read(t, named("lee", "a", "b")), b.read(t, defaults("a"))
		time.Sleep(1200 * time.Millisecond)
		synctest.Wait()
		want("two arrivals", last(), 3, "kim", "lee")

		// a reconnect is no change
		lee.stop()
		nobody.stop()
		time.Sleep(3 * time.Second)
		lee, nobody = b.read(t, named("lee", "a")), b.read(t, defaults("a"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := w.take(); got != "" {
			t.Fatalf("a reconnect was told: %q", got)
		}

		// the same name again is one more stream, but no new name
		second := b.read(t, named("lee", "a"))
		time.Sleep(1200 * time.Millisecond)
		synctest.Wait()
		want("a second stream of a name", last(), 4, "kim", "lee")

		// a departure is told after 5 s
		lee.stop()
		second.stop()
		time.Sleep(4900 * time.Millisecond)
		synctest.Wait()
		if got := w.take(); got != "" {
			t.Fatalf("a departure was told too soon: %q", got)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		want("two departures", last(), 2, "kim")
		nobody.stop()
		w.stop()
	})
}

func TestPresenceIsToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		w := b.read(t, watcher("", "a"))
		time.Sleep(3 * time.Second)
		w.take()
		start := len(w.reads())
		var others []*reader
		for i := range 100 {
			others = append(others, b.read(t, named(fmt.Sprintf("n%03d", i), "a")))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		at := w.reads()[start:]
		if len(at) < 5 || len(at) > 7 {
			t.Errorf("told %d times in 7 s", len(at))
		}
		for i := 1; i < len(at); i++ {
			if d := at[i].Sub(at[i-1]); d < time.Second {
				t.Errorf("told again after %s", d)
			}
		}
		events := chattest.ParseStream(w.take())
		if p := events[len(events)-1].Presence(t); p.Count != 101 || p.Names != nil || p.Unnamed != 1 {
			t.Errorf("in the end: %+v, want 101, and no names yet", p)
		}
		// many names come every 10 s
		time.Sleep(10 * time.Second)
		synctest.Wait()
		events = chattest.ParseStream(w.take())
		if p := events[len(events)-1].Presence(t); p.Count != 101 || len(p.Names) != 100 || p.Names[0] != "n000" || p.Names[99] != "n099" {
			t.Errorf("after 10 s: %+v", p)
		}
		one := b.read(t, named("n100", "a"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		events = chattest.ParseStream(w.take())
		if p := events[len(events)-1].Presence(t); p.Count != 102 || p.Names != nil || p.Unnamed != 1 {
			t.Errorf("with more than 100 names: %+v", p)
		}
		// who begins hears of the names at once, and of no more than 100
		late := b.read(t, watcher("", "a"))
		synctest.Wait()
		events = chattest.ParseStream(late.take())
		if p := events[len(events)-1].Presence(t); p.Count != 103 || len(p.Names) != 100 || p.Unnamed != 2 {
			t.Errorf("at the start: %d, %d names", p.Count, len(p.Names))
		}
		late.stop()
		for _, r := range append(others, one, w) {
			r.stop()
		}
	})
}

func TestPresenceWakesOnlyThoseWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		s := b.mustSubscribe(t, defaults("a"))
		other := b.read(t, named("kim", "a"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		select {
		case <-s.Wake:
			t.Error("a plain stream was woken by an arrival")
		default:
		}
		other.stop()
		s.Close()
	})
}

func TestGoodbye(t *testing.T) {
	if got, want := string(encodeGoodbye(false, EndReload, 777)), "retry: 777\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := "retry: 777\nevent: bye\ndata: {\"reason\":\"exit\",\"retry_ms\":777}\n\n"
	if got := string(encodeGoodbye(true, EndExit, 777)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	seen := map[int64]bool{}
	for range 1000 {
		ms := retryReload.Ms()
		if seen[ms] = true; ms < 200 || ms > 2000 {
			t.Fatalf("%d ms is not within %v", ms, retryReload)
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d different delays", len(seen))
	}
	if got := retryAfterRefusal(EndExit); got != retryRefused {
		t.Errorf("who comes while Caddy stops is told %v, want %v", got, retryRefused)
	}
}
