package ssechat

import (
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A machine's clock that is set by an hour changes nothing of what is measured
// in time. What stores keep for a while is tested with them.
func TestTheClockIsSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			in := func(d time.Duration) time.Time { return storetest.Reset(now.Add(d), by) }

			// heartbeats, ages, stalls and presence go by the wheel
			w := newWheel()
			before := w.elapsed()
			w.start = storetest.Reset(w.start, -by)
			if d := w.elapsed() - before; d < 0 || d > ticks(time.Minute) {
				t.Errorf("the wheel turns by %d ticks", d)
			}

			l := newLimiter(3, time.Minute)
			if wait := l.take("client", 3, now); wait != 0 {
				t.Fatalf("the first three wait for %s", wait)
			}
			if wait := l.take("client", 1, in(time.Second)); wait < 10*time.Second || wait > 20*time.Second {
				t.Errorf("the fourth message waits for %s, want 19 s", wait)
			}
			if wait := l.take("client", 3, in(time.Minute)); wait != 0 {
				t.Errorf("after a minute three wait for %s", wait)
			}

			var k kicks
			k.add("kim", now)
			if k.sweep(in(kickedFor - time.Second)); len(k.until) != 1 {
				t.Error("a name is let in too soon")
			}
			if k.sweep(in(kickedFor + time.Second)); len(k.until) != 0 {
				t.Error("a name is kept out for too long")
			}

			var p peers
			p.hear("another node", &notice{All: true, Number: 1, Rooms: []noticeRoom{{Room: "lobby", Count: 5}}})
			if n := p.in("lobby", in(time.Second)).count; n != 5 {
				t.Errorf("%d readers at other nodes, want 5", n)
			}
			if changed := p.expire(in(peerLife - time.Second)); len(changed) != 0 {
				t.Error("a node is given up too soon")
			}
			if changed := p.expire(in(2 * peerLife)); len(changed) != 1 {
				t.Error("a node that is dead still counts")
			}
		})
	}
}
