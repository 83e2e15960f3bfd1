package hub

import (
	"errors"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestReadersWhoFailComeBackAtDifferentTimes(t *testing.T) {
	b := newTestHub(t, plenty)
	times := map[int64]bool{}
	for range 200 {
		s := &Subscriber{hub: b, Wake: make(chan struct{}, 1)}
		s.storeFailed(errors.New("the disk is full"))
		at := s.retryAt.Load() - b.wheel.Now()
		if at < wheel.Ticks(time.Second) || at > wheel.Ticks(3*time.Second) {
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
	b := newTestHub(t, plenty)
	first := b.mustPublish(t, "a", "1")
	read := func() (ids []store.ID) {
		t.Helper()
		page, err := b.pages.Page(t.Context(), store.Span{Rooms: []string{"a"}, UpTo: *b.latest.Load()})
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
	if err := b.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if ids := read(); len(ids) != 1 || ids[0] == first {
		t.Fatalf("read %v, but %v was deleted", ids, first)
	}
}
