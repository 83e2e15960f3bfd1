package wheel

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// every asks to be called each so many ticks, and notes when it was.
type every struct {
	ticks  int64
	called []int64
}

func (e *every) Tick(now int64) int64 {
	e.called = append(e.called, now)
	return now + e.ticks
}

func TestItemsAreCalledWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		w := New[*every](func(int64) bool { rounds++; return false })
		often, seldom := &every{ticks: 1}, &every{ticks: 2*slots + 3}
		var places [2]Place[*every]
		w.Add(&places[0], often)
		w.Add(&places[1], seldom)
		time.Sleep((4*slots + 50) * Tick)
		synctest.Wait()
		if n := len(often.called); n != 4*slots+50 || rounds != n {
			t.Errorf("called %d times in %d rounds", n, rounds)
		}
		if got := seldom.called; len(got) != 2+1 || got[1]-got[0] != seldom.ticks || got[2]-got[1] != seldom.ticks {
			t.Errorf("called at %d, want each %d ticks", got, seldom.ticks)
		}
		before := len(seldom.called)
		w.Hasten(20)
		time.Sleep(21 * Tick)
		synctest.Wait()
		if n := len(seldom.called) - before; n != 1 {
			t.Errorf("called %d times after Hasten", n)
		}
		w.Remove(&places[0])
		w.Remove(&places[1])
		time.Sleep(2 * Tick)
		synctest.Wait()
		if w.Turning() {
			t.Error("an empty wheel turns")
		}
	})
}

// A process that was stopped is told so, and does in one turn what was due.
func TestAWheelThatWasStopped(t *testing.T) {
	w := New[*every](func(int64) bool { return false })
	e := &every{ticks: 10}
	var place Place[*every]
	w.turning = true // by hand
	w.Add(&place, e)
	w.advance(1)
	w.advance(3 * slots)
	if len(e.called) != 2 || w.Woke() != 3*slots {
		t.Errorf("called at %d, woke at %d", e.called, w.Woke())
	}
}

// A machine's clock that is set by an hour changes nothing of what is measured
// in time: heartbeats, ages, stalls and presence go by the wheel.
func TestTheClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		w := New[*every](nil)
		before := w.Elapsed()
		w.start = storetest.Reset(w.start, -by)
		if d := w.Elapsed() - before; d < 0 || d > Ticks(time.Minute) {
			t.Errorf("the wheel turns by %d ticks", d)
		}
	}
}
