package storetest

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// began is a time with a reading of the monotonic clock. The times of a synctest
// bubble have none.
var began = time.Now()

// Clock is a machine's clock that can be set, for a synctest bubble. As on a machine,
// the monotonic time between two of its times does not depend on that. Its methods may
// be called by several goroutines at the same time.
type Clock struct{ set atomic.Int64 }

// Set sets the clock by whole seconds, forward or back.
func (c *Clock) Set(by time.Duration) { c.set.Add(int64(by)) }

// Now returns the time.
func (c *Clock) Now() time.Time {
	bubble := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the start of every bubble
	return Reset(began.Add(time.Since(bubble)), time.Duration(c.set.Load()))
}

// Reset returns now as a clock shows it that was set by whole seconds: the reading of
// the monotonic clock does not change. Package time cannot express that.
func Reset(now time.Time, by time.Duration) time.Time {
	const hasSteady, seconds = 1 << 63, 30 // of time.Time.wall
	was := now
	wall := (*uint64)(unsafe.Pointer(&now)) // its first field
	if *wall&hasSteady == 0 {
		panic("a time without a monotonic clock")
	}
	*wall += uint64(by/time.Second) << seconds
	if now.Sub(was) != 0 || now.Unix()-was.Unix() != int64(by/time.Second) {
		panic("package time represents times in another way")
	}
	return now
}

// RunClock tests a store while the machine's clock is set forward and back by hours.
// It must be called in a synctest bubble.
func RunClock(t *testing.T, clock *Clock, s store.Store) {
	t.Helper()
	last := s.State().Latest
	nonces := 0
	check := func(by time.Duration) {
		t.Helper()
		draft := store.Draft{Text: "before", Nonce: "n" + string(rune('a'+nonces))}
		nonces++
		first := MustAppend(t, s, "a", draft)[0]
		if !first.ID.After(last) {
			t.Fatalf("the id is %v, after %v", first.ID, last)
		}
		clock.Set(by)
		time.Sleep(store.NonceLife - time.Second)
		if again := MustAppend(t, s, "a", draft)[0]; again.ID != first.ID {
			t.Errorf("the clock was set by %s, and a nonce is forgotten too soon", by)
		}
		if first, err := s.Find(t.Context(), "a", "", draft.Nonce); !first.Repeat || err != nil {
			t.Errorf("the clock was set by %s, and a nonce is forgotten too soon: %v", by, err)
		}
		last = MustAppend(t, s, "a", Text("after"))[0].ID
		if !last.After(first.ID) {
			t.Errorf("the clock was set by %s, and the id is %v, after %v", by, last, first.ID)
		}
		page, err := s.After(t.Context(), store.Span{Rooms: []string{"a"}, After: first.ID, UpTo: last}, 10)
		if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != last {
			t.Errorf("the clock was set by %s, and %d messages follow, want 1; %v", by, len(page.Messages), err)
		}
	}
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, -time.Hour, time.Hour, 2 * time.Hour} {
		check(by)
	}
	// a nonce from after the last step lives no longer than others
	draft := store.Draft{Text: "x", Nonce: "last"}
	first := MustAppend(t, s, "a", draft)[0]
	time.Sleep(store.NonceLife + time.Second)
	if again := MustAppend(t, s, "a", draft)[0]; again.ID == first.ID {
		t.Error("after the clock was set a nonce is known too long")
	}
}
