package hub

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A name is kept out for a minute, and not for longer.
func TestAKickIsForgotten(t *testing.T) {
	var k kicks
	now := time.Now()
	k.add("kim", now.Add(-KickedFor))
	k.add("lee", now)
	if k.holds("kim") || !k.holds("lee") || k.holds("") {
		t.Errorf("kept out: %v", k.until)
	}
	k.sweep(now.Add(KickedFor))
	if k.holds("lee") || len(k.until) > 0 || k.some.Load() {
		t.Errorf("kept out: %v", k.until)
	}
}

// A stream that comes while its name is being kicked does not slip in.
func TestAKickMissesNoStream(t *testing.T) {
	b := newTestBroker(t, plenty)
	for range 100 {
		b.kicks.until = nil
		b.kicks.some.Store(false)
		sub := defaults("a")
		sub.Name = "kim"
		var wait sync.WaitGroup
		wait.Go(func() { b.Kick("kim") })
		s, err := b.Subscribe(sub)
		wait.Wait()
		if err == nil {
			if s.Over() != EndKicked {
				t.Fatalf("it ended for %q", s.Over())
			}
			s.Close()
		} else if !errors.Is(err, ErrKicked) {
			t.Fatal(err)
		}
	}
}

// Nodes end the streams that another node is asked to end.
func TestStreamsThatAnotherNodeEnds(t *testing.T) {
	b := newTestBroker(t, plenty)
	tea, lobby := b.mustSubscribe(t, defaults("a", "tea")), b.mustSubscribe(t, defaults("lobby"))
	defer tea.Close()
	defer lobby.Close()
	b.Told("n", []byte(`{"end":{"room":"tea"}}`))
	if tea.Over() != EndReload || lobby.Over() != "" {
		t.Errorf("after the end of a room one has ended for %q, the other for %q", tea.Over(), lobby.Over())
	}
	b.Told("n", []byte(`{"end":{}}`))
	if lobby.Over() != EndReload {
		t.Errorf("after the end of all it has ended for %q", lobby.Over())
	}
}

// A machine's clock that is set by an hour changes nothing of who is kept out.
func TestKicksWhenTheClockIsSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			in := func(d time.Duration) time.Time { return storetest.Reset(now.Add(d), by) }
			var k kicks
			k.add("kim", now)
			if k.sweep(in(KickedFor - time.Second)); len(k.until) != 1 {
				t.Error("a name is let in too soon")
			}
			if k.sweep(in(KickedFor + time.Second)); len(k.until) != 0 {
				t.Error("a name is kept out for too long")
			}
		})
	}
}
