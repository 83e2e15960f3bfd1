package kicks

import (
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A name is kept out for a minute, and not for longer.
func TestAKickIsForgotten(t *testing.T) {
	var k List
	now := time.Now()
	k.Add("kim", now.Add(-Duration))
	k.Add("lee", now)
	if k.Has("kim") || !k.Has("lee") || k.Has("") {
		t.Errorf("kept out: %v", k.until)
	}
	k.sweep(now.Add(Duration))
	if k.Has("lee") || len(k.until) > 0 || k.some.Load() {
		t.Errorf("kept out: %v", k.until)
	}
}

// A machine's clock that is set by an hour changes nothing of who is kept out.
func TestKicksWhenTheClockIsSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			in := func(d time.Duration) time.Time { return storetest.Reset(now.Add(d), by) }
			var k List
			k.Add("kim", now)
			if k.sweep(in(Duration - time.Second)); len(k.until) != 1 {
				t.Error("a name is let in too soon")
			}
			if k.sweep(in(Duration + time.Second)); len(k.until) != 0 {
				t.Error("a name is kept out for too long")
			}
		})
	}
}
