// Package wheel is a clock for very many items that are rarely due: a hashed timing
// wheel with one goroutine and one timer in all.
//
// Time is counted in ticks of [Tick] since the wheel was made.
package wheel

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
)

const (
	// Tick is the resolution of a wheel.
	Tick = 100 * time.Millisecond

	slots = 512
	// asleep is by how many ticks a turn is late if the process was suspended.
	asleep = int64(time.Second / Tick)
)

// Ticks returns d in ticks, rounded down, but at least 1.
func Ticks(d time.Duration) int64 {
	return max(1, int64(d/Tick))
}

// Item is what a wheel calls when it is due.
type Item interface {
	// Tick does what is due and returns the tick of its next call. It must neither
	// block nor panic, nor call the wheel's methods except for Now, Elapsed and
	// Woke.
	Tick(now int64) (next int64)
}

// Place is an item's place in a wheel. The zero value is in no wheel. It must not
// be copied while it is in one.
type Place[T Item] struct {
	item  T
	next  *Place[T]
	prev  **Place[T] // pointer to this place; nil if not in the wheel
	dueAt int64
}

// Wheel calls the Tick of each of its items when it is due. It turns only while it
// has items or each has something to wait for. Its methods are safe for concurrent
// use, unless they say otherwise.
type Wheel[T Item] struct {
	start time.Time
	ticks atomic.Int64  // time of the last turn
	poke  chan struct{} // makes it check at once whether it may stop
	each  func(now int64) (wait bool)

	mu      sync.Mutex // guards all below, and the items' places
	slots   [slots]*Place[T]
	len     int
	turned  int64 // tick up to which all slots are done
	woke    int64 // see Woke
	turning bool  // whether the goroutine runs
	again   bool  // Run was called since the last turn
	closed  bool
}

// New returns a wheel. In each turn it calls each once, after the items that are
// due, and it keeps turning while each returns true or it has items. each must
// neither block nor panic.
func New[T Item](each func(now int64) (wait bool)) *Wheel[T] {
	return &Wheel[T]{start: time.Now(), poke: make(chan struct{}, 1), each: each}
}

// Now returns the tick of the last turn, which is at most one tick ago while the
// wheel turns.
func (w *Wheel[T]) Now() int64 { return w.ticks.Load() }

// Elapsed returns the current tick by the system's clock. It is never 0, so that 0
// can stand for no time.
func (w *Wheel[T]) Elapsed() int64 { return 1 + int64(time.Since(w.start)/Tick) }

// Woke returns the last tick at which the process resumed after being suspended for
// a second or longer, or 0. Only [Item].Tick may call it.
func (w *Wheel[T]) Woke() int64 { return w.woke }

// Add adds an item. Its Tick is called in the next turn.
func (w *Wheel[T]) Add(p *Place[T], item T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	p.item = item
	w.put(p, w.turned+1)
	w.len++
}

// Run makes the wheel turn until a new call of each returns false.
func (w *Wheel[T]) Run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.again = true // an earlier result of each does not count
	if !w.closed {
		w.begin()
	}
}

func (w *Wheel[T]) begin() {
	if w.turning {
		return
	}
	w.turning = true
	w.turned = w.Elapsed()
	w.ticks.Store(w.turned)
	go w.turn()
}

// Remove removes an item. Its Tick is not running when Remove returns, and is not
// called again. It must be in the wheel.
func (w *Wheel[T]) Remove(p *Place[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take(p)
	w.len--
	w.stopIfDone()
}

// Close stops the wheel once it is empty. It does not wait.
func (w *Wheel[T]) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.stopIfDone()
}

func (w *Wheel[T]) stopIfDone() {
	if !w.closed || w.len > 0 {
		return
	}
	wake.Up(w.poke)
}

func (w *Wheel[T]) put(p *Place[T], at int64) {
	at = max(at, w.turned+1)
	slot := &w.slots[at%slots]
	p.next, p.prev, p.dueAt = *slot, slot, at
	if p.next != nil {
		p.next.prev = &p.next
	}
	*slot = p
}

func (w *Wheel[T]) take(p *Place[T]) {
	*p.prev = p.next
	if p.next != nil {
		p.next.prev = p.prev
	}
	p.next, p.prev = nil, nil
}

func (w *Wheel[T]) turn() {
	ticker := time.NewTicker(Tick)
	defer ticker.Stop()
	for wait := true; w.goOn(wait); {
		select {
		case <-ticker.C:
		case <-w.poke:
			continue
		}
		now := w.Elapsed()
		w.ticks.Store(now)
		w.advance(now)
		wait = w.each(now)
	}
}

// goOn reports whether the wheel has to keep turning.
func (w *Wheel[T]) goOn(wait bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turning = w.len > 0 || (wait || w.again) && !w.closed
	w.again = false
	return w.turning
}

func (w *Wheel[T]) advance(now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now-w.turned > asleep {
		w.woke = now
	}
	// after a long suspension each slot has to be visited only once
	for at := max(w.turned+1, now-slots+1); at <= now; at++ {
		w.turned = at
		w.tick(at, now)
	}
	w.turned = now
}

// tick calls the items of a slot that are due.
func (w *Wheel[T]) tick(at, now int64) {
	for p := w.slots[at%slots]; p != nil; {
		next := p.next
		if p.dueAt <= now {
			w.take(p)
			w.put(p, p.item.Tick(now))
		}
		p = next
	}
}

// Each calls f for all items. f must neither block nor call the wheel's methods
// except for Now and Elapsed.
func (w *Wheel[T]) Each(f func(T)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.all() {
		f(p.item)
	}
}

// Hasten makes each item be called within so many ticks at the latest.
func (w *Wheel[T]) Hasten(within int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.Elapsed() + within
	for _, p := range w.all() {
		if p.dueAt > at {
			w.take(p)
			w.put(p, at)
		}
	}
}

func (w *Wheel[T]) all() []*Place[T] {
	all := make([]*Place[T], 0, w.len)
	for _, p := range w.slots {
		for ; p != nil; p = p.next {
			all = append(all, p)
		}
	}
	return all
}

// Turning reports whether the wheel is turning.
func (w *Wheel[T]) Turning() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turning
}
