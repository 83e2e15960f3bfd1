package ssechat

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// When all readers have to ask the store at once, those who ask the same share
// one read, and those who fail come back at different times.
func TestAllReadersAskTheStoreAtOnce(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			s := serve(t, "store fragile\npark "+park)
			b := brokerOf(t, "default")
			m := s.post(t, "/update", "x")
			const n = 200
			var readers []*client
			for range n {
				readers = append(readers, s.stream(t, "/subscribe", "Last-Event-ID: "+m.ID))
			}
			m = s.post(t, "/update", "all read live")
			for _, c := range readers {
				if got := c.next(t).message(t); got != m {
					t.Fatalf("got %+v, want %+v", got, m)
				}
			}
			if park == "on" {
				waitParked(t, b, n)
			}
			fragileReads.Store(0)
			b.Missed(*b.latest.Load(), true)
			for _, c := range readers {
				if e := c.next(t); e.name != "gap" {
					t.Fatalf("got %+v, want a gap", e)
				}
			}
			if reads := fragileReads.Load(); reads > n/10 {
				t.Errorf("%d readers read %d times", n, reads)
			}
			m = s.post(t, "/update", "y")
			for _, c := range readers {
				if got := c.next(t).message(t); got != m {
					t.Fatalf("got %+v, want %+v", got, m)
				}
			}
		})
	}
}

func TestReadersWhoFailComeBackAtDifferentTimes(t *testing.T) {
	b := newTestBroker(t, plenty)
	times := map[int64]bool{}
	for range 200 {
		s := &subscriber{broker: b, wake: make(chan struct{}, 1)}
		s.storeFailed(errFragile)
		at := s.retryAt.Load() - b.wheel.now()
		if at < ticks(time.Second) || at > ticks(3*time.Second) {
			t.Fatalf("it comes back after %d ticks", at)
		}
		times[at] = true
	}
	if len(times) < 10 {
		t.Errorf("they come back at %d different times", len(times))
	}
}

// What was published or deleted meanwhile is in no page that was read before.
func TestPagesAreSharedAsLongAsTheyAreTrue(t *testing.T) {
	b := newTestBroker(t, plenty)
	first := b.mustPublish(t, "a", "1")
	read := func() (ids []store.ID) {
		t.Helper()
		page, err := b.page(t.Context(), store.Span{Rooms: []string{"a"}, UpTo: *b.latest.Load()})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			ids = append(ids, m.ID)
		}
		return ids
	}
	if ids := read(); len(ids) != 1 {
		t.Fatalf("read %v", ids)
	}
	b.mustPublish(t, "a", "2")
	if ids := read(); len(ids) != 2 {
		t.Fatalf("read %v, want two", ids)
	}
	if err := b.delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if ids := read(); len(ids) != 1 || ids[0] == first {
		t.Fatalf("read %v, but %v was deleted", ids, first)
	}
}

// A read that has timed out fails for all who wait for a turn, for a moment.
func TestAReadThatTimesOutFailsTheNextOnes(t *testing.T) {
	var p pages
	key := pageKey{rooms: "a"}
	shared, first, err := p.join(key)
	if !first || err != nil {
		t.Fatal(first, err)
	}
	if again, second, _ := p.join(key); second || again != shared {
		t.Error("the same page is read twice")
	}
	shared.err = context.DeadlineExceeded
	p.read(key, shared)
	if _, _, err := p.join(pageKey{rooms: "b"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another read ends with %v", err)
	}
	p.until = time.Now()
	if _, first, err := p.join(pageKey{rooms: "b"}); !first || err != nil {
		t.Errorf("later it is %v, %v", first, err)
	}
}
