package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// manyRoomsAtOnce is how many rooms one stream may read.
const manyRoomsAtOnce = 100

var plenty = store.Limits{Count: 1000, Rooms: 1000}

func newTestHub(t testing.TB, limits store.Limits) *Hub {
	t.Helper()
	b, err := Open(limits, func(hub store.Hub, limits store.Limits) (store.Store, error) {
		return memory.Open(hub, limits), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func (b *Hub) mustPublish(t testing.TB, room, text string) store.ID {
	t.Helper()
	receipts, err := b.Publish(t.Context(), room, store.Draft{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0].Message.ID
}

// defaults are what a reader gets that asks for nothing special.
func defaults(rooms ...string) *Subscription {
	return &Subscription{Rooms: rooms, Heartbeat: 15 * time.Second, WriteTimeout: 10 * time.Second, Abort: func() {}}
}

func (b *Hub) mustSubscribe(t testing.TB, sub *Subscription) *Subscriber {
	t.Helper()
	s, err := b.Subscribe(sub)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pending returns all that a subscriber has to read now.
func (s *Subscriber) pending(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	for {
		out := s.Next(t.Context(), nil)
		if len(out.Bytes) == 0 {
			return all.String()
		}
		all.Write(out.Bytes)
	}
}

// reader reads in a goroutine of its own, as a stream does.
type reader struct {
	*Subscriber
	mu   sync.Mutex
	got  strings.Builder
	at   []time.Time // of each read
	done chan struct{}
}

func (b *Hub) read(t testing.TB, sub *Subscription) *reader {
	t.Helper()
	r := &reader{Subscriber: b.mustSubscribe(t, sub), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for r.Over() == "" {
			r.Writing()
			out := r.Next(t.Context(), nil)
			r.mu.Lock()
			r.got.Write(out.Bytes)
			if len(out.Bytes) > 0 {
				r.at = append(r.at, time.Now())
			}
			r.mu.Unlock()
			r.Written(0)
			if len(out.Bytes) == 0 {
				<-r.Wake
			}
		}
		r.Close()
	}()
	return r
}

// take returns what was read since the last call.
func (r *reader) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got.String()
	r.got.Reset()
	return got
}

func (r *reader) reads() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.at)
}

func (r *reader) stop() {
	r.End(EndClient)
	<-r.done
}

func TestReadersOfARoomGetItsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		lobby, both := b.read(t, defaults("lobby")), b.read(t, defaults("방", "lobby"))
		synctest.Wait()
		var want []string
		for i := range 10 {
			room := []string{"lobby", "방", "other"}[i%3]
			id := b.mustPublish(t, room, fmt.Sprint(i))
			if room != "other" {
				want = append(want, id.String())
			}
		}
		synctest.Wait()
		var got []string
		for _, e := range chattest.ParseStream(both.take()) {
			got = append(got, e.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("a reader of both rooms got %v, want %v", got, want)
		}
		if events := chattest.ParseStream(lobby.take()); len(events) != 4 {
			t.Errorf("a reader of the lobby got %v, want 4 messages", events)
		}
		lobby.stop()
		both.stop()
	})
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		sub := defaults("lobby")
		sub.Heartbeat = 10 * time.Second
		plain := b.read(t, sub)
		sub2 := *sub
		sub2.Events = true
		named := b.read(t, &sub2)
		synctest.Wait()
		named.take()

		start := time.Now()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		got := plain.take()
		if strings.Trim(got, ":\n") != "" || strings.Contains(got, "\n\n") {
			t.Fatalf("a quiet stream got %q", got)
		}
		if n := strings.Count(got, ":\n"); n < 8 || n > 12 {
			t.Errorf("%d heartbeats in 100 s, want about 10", n)
		}
		last := start
		for _, at := range plain.reads() {
			if d := at.Sub(last); d < 8800*time.Millisecond || d > 11200*time.Millisecond {
				t.Errorf("a heartbeat after %s, want 10 s give or take a tenth", d)
			}
			last = at
		}
		for _, e := range chattest.ParseStream(named.take()) {
			var ping struct{ Now int64 }
			if e.Decode(t, &ping); e.Name != "ping" || e.ID != "" || ping.Now < start.UnixMilli() {
				t.Errorf("in place of a heartbeat came %+v", e)
			}
		}

		// traffic counts as a sign of life
		b.mustPublish(t, "lobby", "x")
		synctest.Wait()
		plain.take()
		for range 20 {
			time.Sleep(6 * time.Second)
			b.mustPublish(t, "lobby", "x")
		}
		synctest.Wait()
		if got := plain.take(); strings.Contains("\n"+got, "\n:\n") {
			t.Errorf("a busy stream got a heartbeat: %q", got)
		}
		plain.stop()
		named.stop()
	})
}

func TestAStreamEndsAtItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		start := time.Now()
		ages := map[time.Duration]bool{}
		for range 20 {
			sub := defaults("lobby")
			sub.MaxAge = time.Minute
			r := b.read(t, sub)
			go func() {
				<-r.done
				if r.Over() != endMaxAge {
					t.Errorf("ended for %q, want %q", r.Over(), endMaxAge)
				}
				age := time.Since(start)
				if age < time.Minute || age > 67*time.Second {
					t.Errorf("a stream lived for %s, want a minute and up to a tenth", age)
				}
				b.mu.Lock()
				ages[age.Round(time.Second)] = true
				b.mu.Unlock()
			}()
		}
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if len(ages) < 3 {
			t.Errorf("streams opened together end together: %v", ages)
		}
	})
}

func TestAStalledWriteIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		var cuts atomic.Int32
		sub := defaults("lobby")
		sub.Abort = func() { cuts.Add(1) }
		s := b.mustSubscribe(t, sub)
		time.Sleep(time.Second)
		s.Writing() // and does not return
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if cuts.Load() != 0 || s.Over() != "" {
			t.Fatalf("cut too soon")
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if cuts.Load() == 0 || s.Over() != EndSlow {
			t.Fatalf("%d cuts after 15 s, ended for %q", cuts.Load(), s.Over())
		}
		before := cuts.Load()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if cuts.Load() <= before {
			t.Error("the first cut did not help, and there was no second")
		}
		s.Close()
	})
}

func TestAnExitCutsStalledWritesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		cut := make(chan struct{})
		sub := defaults("lobby")
		sub.WriteTimeout = time.Hour
		sub.Abort = sync.OnceFunc(func() { close(cut) })
		s := b.mustSubscribe(t, sub)
		time.Sleep(time.Second)
		s.Writing()
		time.Sleep(10 * time.Second)
		start := time.Now()
		b.EndAll(EndExit)
		<-cut
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("cut after %s", d)
		}
		s.Close()
		if late, err := b.Subscribe(defaults("lobby")); err != nil || late.Over() != EndExit {
			t.Errorf("a late reader: ended for %q, %v", late.Over(), err)
		} else {
			late.Close()
		}
	})
}

func TestAnIdleHubDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		r := b.read(t, defaults("a", "b"))
		b.mustPublish(t, "a", "x")
		r.stop()
		time.Sleep(2 * vacantFor * wheel.Tick)
		synctest.Wait()
		if len(b.rooms) != 0 || b.ringBytes.Load() != 0 {
			t.Errorf("%d rooms and %d bytes of rings are left", len(b.rooms), b.ringBytes.Load())
		}
		if b.wheel.Turning() {
			t.Error("the wheel turns for nobody")
		}
	})
}

// What was asked for once is not kept for ever.
func TestRoomsThatWereReadOnceAreGoneAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms = 100_000
		b := newTestHub(t, store.Limits{Count: 10, Rooms: rooms})
		var names []string
		for i := range rooms {
			if names = append(names, fmt.Sprint("r", i)); len(names) == manyRoomsAtOnce {
				b.mustSubscribe(t, watcher("kim", names...)).Close()
				names = nil
			}
		}
		if n := len(b.roomNames()); n != rooms {
			t.Fatalf("%d rooms were made", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.rooms); n != 0 || b.vacant.Len() != 0 || b.departures.queue != nil || b.wheel.Turning() {
			t.Errorf("a minute later %d rooms are left, %d of them vacant, %d departures, and the wheel turns: %v",
				n, b.vacant.Len(), len(b.departures.queue), b.wheel.Turning())
		}
		for _, set := range []*roomSet{&b.toWake, &b.toAnnounce, &b.toTrim} {
			if len(set.rooms) != 0 || cap(set.rooms) > 1024 {
				t.Errorf("a set has %d rooms, and space for %d", len(set.rooms), cap(set.rooms))
			}
		}
	})
}

// A hub that is full refuses a stream, but has made some of its rooms.
func TestRoomsOfAStreamThatIsRefusedAreGoneAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, store.Limits{Count: 10, Rooms: 3})
		if _, err := b.Subscribe(defaults("a", "b", "c", "d")); !errors.Is(err, errTooManyRooms) {
			t.Fatalf("four rooms where there may be three: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.rooms); n != 0 || b.wheel.Turning() {
			t.Errorf("%d rooms are left, and the wheel turns: %v", n, b.wheel.Turning())
		}
	})
}

func TestLimitsOfStreams(t *testing.T) {
	b := newTestHub(t, store.Limits{Count: 10, Rooms: 3})
	sub := defaults("lobby")
	sub.MaxSubscribers, sub.MaxPerClient, sub.Client = 3, 2, "1.2.3.4"
	first := b.mustSubscribe(t, sub)
	b.mustSubscribe(t, sub)
	if _, err := b.Subscribe(sub); !errors.Is(err, errFull) {
		t.Errorf("a third stream of a client: %v, want %v", err, errFull)
	}
	other := *sub
	other.Client = "5.6.7.8"
	b.mustSubscribe(t, &other)
	if _, err := b.Subscribe(&other); !errors.Is(err, errFull) {
		t.Errorf("a fourth stream: %v, want %v", err, errFull)
	}
	first.Close()
	b.mustSubscribe(t, sub)

	b.mustSubscribe(t, defaults("a", "b"))
	if _, err := b.Subscribe(defaults("lobby", "c")); !errors.Is(err, errTooManyRooms) {
		t.Errorf("a room too many: %v, want %v", err, errTooManyRooms)
	}
	if n := b.Counts.Subscribers.Load(); n != 4 {
		t.Errorf("%d subscribers are counted, want 4", n)
	}
	if n := len(b.rooms["lobby"].readers); n != 3 {
		t.Errorf("the lobby has %d readers, want 3", n)
	}
}

func TestStreamsOfAGroupEndTogether(t *testing.T) {
	b := newTestHub(t, plenty)
	mine, other := defaults("a"), defaults("a")
	mine.Group, other.Group = new(Group), new(Group)
	m, o := b.mustSubscribe(t, mine), b.mustSubscribe(t, other)
	b.EndGroup(mine.Group, EndReload)
	if m.Over() != EndReload || o.Over() != "" {
		t.Errorf("mine ended for %q, the other for %q", m.Over(), o.Over())
	}
	m.Close()
	o.Close()
}
