package ssechat

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tickLength is the grain of everything that a stream waits for: heartbeats,
	// ages, stalled writes.
	tickLength = 100 * time.Millisecond
	wheelSlots = 512
	// asleep is by how many ticks a turn is late if the process was stopped.
	asleep = int64(time.Second / tickLength)
)

// ticks returns d in ticks, at least one.
func ticks(d time.Duration) int64 {
	return max(1, int64(d/tickLength))
}

// wheel is the one clock of all streams of a hub. It turns only while there is
// something to wait for.
type wheel struct {
	start time.Time
	ticks atomic.Int64  // since start, as of the last turn
	poke  chan struct{} // has it look at once whether it may stop

	mu      sync.Mutex // guards all below, and the subscribers' places
	slots   [wheelSlots]*subscriber
	len     int
	turned  int64 // up to which tick the slots are done
	woke    int64 // when the process went on, in ticks, after it had been stopped
	turning bool
	again   bool // there is something new to wait for
	closed  bool
}

func newWheel() *wheel {
	return &wheel{start: time.Now(), poke: make(chan struct{}, 1)}
}

// place is a subscriber's place in the wheel.
type place struct {
	next  *subscriber
	prev  **subscriber // what points here; nil if not in the wheel
	dueAt int64
}

// now returns the time in ticks. It may lag by one.
func (w *wheel) now() int64 { return w.ticks.Load() }

// elapsed is now, looked up anew. It is never 0, which stands for no time.
func (w *wheel) elapsed() int64 { return 1 + int64(time.Since(w.start)/tickLength) }

// add puts s into the wheel, to be asked at once, and starts the wheel if it
// stands still. after is called once in each turn; the wheel stops when it is
// empty and after has nothing to wait for.
func (w *wheel) add(s *subscriber, after func(now int64) (wait bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(after)
	w.put(s, w.turned+1)
	w.len++
}

// run has the wheel turn until after, asked anew, has nothing to wait for.
func (w *wheel) run(after func(now int64) (wait bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.again = true // what after has said before does not count
	if !w.closed {
		w.begin(after)
	}
}

func (w *wheel) begin(after func(int64) bool) {
	if w.turning {
		return
	}
	w.turning = true
	w.turned = w.elapsed()
	w.ticks.Store(w.turned)
	go w.turn(after)
}

// remove takes s out of the wheel.
func (w *wheel) remove(s *subscriber) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(s)
	w.len--
	w.stopIfDone()
}

// close stops the wheel as soon as it is empty.
func (w *wheel) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.stopIfDone()
}

func (w *wheel) stopIfDone() {
	if !w.closed || w.len > 0 {
		return
	}
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

func (w *wheel) put(s *subscriber, at int64) {
	at = max(at, w.turned+1)
	slot := &w.slots[at%wheelSlots]
	s.place = place{next: *slot, prev: slot, dueAt: at}
	if s.place.next != nil {
		s.place.next.place.prev = &s.place.next
	}
	*slot = s
}

func (w *wheel) take(s *subscriber) {
	*s.place.prev = s.place.next
	if s.place.next != nil {
		s.place.next.place.prev = s.place.prev
	}
	s.place.next, s.place.prev = nil, nil
}

func (w *wheel) turn(after func(int64) bool) {
	ticker := time.NewTicker(tickLength)
	defer ticker.Stop()
	for wait := true; w.goOn(wait); {
		select {
		case <-ticker.C:
		case <-w.poke:
			continue
		}
		now := w.elapsed()
		w.ticks.Store(now)
		w.advance(now)
		wait = afterSafely(after, now)
	}
}

// afterSafely is after, which a panic does not keep from being called again.
func afterSafely(after func(int64) bool, now int64) (wait bool) {
	defer contain("what is due in a hub", func() { wait = true })
	return after(now)
}

// tickSafely is tick. A panic costs the stream only.
func (s *subscriber) tickSafely(now int64) (next int64) {
	defer contain("what is due for a stream", func() {
		s.end(endError)
		next = now + ticks(time.Second)
	})
	return s.tick(now)
}

// goOn reports whether the wheel has to turn on.
func (w *wheel) goOn(wait bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turning = w.len > 0 || (wait || w.again) && !w.closed
	w.again = false
	return w.turning
}

func (w *wheel) advance(now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now-w.turned > asleep {
		w.woke = now
	}
	// after a long sleep of the machine one round is enough
	for at := max(w.turned+1, now-wheelSlots+1); at <= now; at++ {
		w.turned = at
		w.ask(at, now)
	}
	w.turned = now
}

// ask lets each subscriber of a slot whose time has come do what is due.
func (w *wheel) ask(at, now int64) {
	for s := w.slots[at%wheelSlots]; s != nil; {
		next := s.place.next
		if s.place.dueAt <= now {
			w.take(s)
			w.put(s, s.tickSafely(now))
		}
		s = next
	}
}

// endAll ends all streams, and looks after them soon again.
func (w *wheel) endAll(reason string) {
	w.each(func(s *subscriber) {
		s.end(reason)
		w.take(s)
		w.put(s, w.elapsed()+goodbyeLimit)
	})
}

// each calls f for all subscribers; f must not block.
func (w *wheel) each(f func(*subscriber)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*subscriber, 0, w.len)
	for _, s := range w.slots {
		for ; s != nil; s = s.place.next {
			all = append(all, s)
		}
	}
	for _, s := range all {
		f(s)
	}
}
