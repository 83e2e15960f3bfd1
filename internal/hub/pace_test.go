package hub

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// publishMuch publishes as much as any turn bears, and returns how long the
// message after that took.
func publishMuch(t *testing.T, b *Hub) time.Duration {
	t.Helper()
	const size = 1000
	begin := b.Pace.PublishedBytes.Load()
	for i := 0; i*size < roundBytes && b.Pace.PublishedBytes.Load()-begin < roundBytes; i++ {
		b.mustPublish(t, "lobby", strings.Repeat("x", size))
	}
	last := time.Now()
	b.mustPublish(t, "lobby", "the last")
	return time.Since(last)
}

func TestPublishersWaitForDelivery(t *testing.T) {
	const rest = 30 * time.Millisecond
	for _, test := range []struct {
		name   string
		Round  time.Duration // that it has taken before
		reader bool
		ended  bool // after the rest
		want   time.Duration
	}{
		{"a long turn", longRound, true, true, rest},
		{"a short turn", longRound / 2, true, true, 0},
		{"a turn without end", longRound, true, false, pacePatience},
		{"a room that nobody reads", longRound, false, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestHub(t, plenty)
				if test.reader {
					r := b.read(t, defaults("lobby"))
					defer r.stop()
				}
				turn := &b.Pace.SenderRounds()[0]
				turn.Begin(b.Pace.PublishedBytes.Load())
				time.Sleep(test.Round)
				if test.ended {
					time.AfterFunc(rest, turn.End)
				}
				if got := publishMuch(t, b); got != test.want {
					t.Errorf("the publisher waited %s, want %s", got, test.want)
				}
			})
		})
	}
}

// A few messages wait for nobody, however long a turn takes: where very many
// read, each does.
func TestFewMessagesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		r := b.read(t, defaults("lobby"))
		defer r.stop()
		b.Pace.SenderRounds()[0].Begin(b.Pace.PublishedBytes.Load())
		begin := time.Now()
		for range 10 {
			b.mustPublish(t, "lobby", "hi")
			time.Sleep(longRound)
		}
		if waited := time.Since(begin) - 10*longRound; waited != 0 {
			t.Errorf("they waited %s", waited)
		}
	})
}

func TestWaitingForDeliveryEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		r := b.read(t, defaults("lobby"))
		defer r.stop()
		b.Pace.SenderRounds()[0].Begin(b.Pace.PublishedBytes.Load())
		time.Sleep(longRound)
		publishMuch(t, b)
		ctx, cancel := context.WithTimeout(t.Context(), longRound)
		defer cancel()
		begin := time.Now()
		b.Pace.await(ctx)
		if got := time.Since(begin); got != longRound {
			t.Errorf("it waited %s, want %s", got, longRound)
		}
	})
}

// Waking very many readers leaves time for others only if those publish.
func TestNapsAreForFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		for _, test := range []struct {
			step      int
			published int64
			want      time.Duration
		}{{napEvery, 0, 0}, {napEvery, napBytes, nap}, {napEvery - 1, napBytes, 0}, {2 * napEvery, napBytes, nap}} {
			p.PublishedBytes.Store(test.published)
			begin := time.Now()
			p.pause(test.step, 0)
			if got := time.Since(begin); got != test.want {
				t.Errorf("after step %d and %d bytes dispatch sleeps %s, want %s", test.step, test.published, got, test.want)
			}
		}
	})
}
