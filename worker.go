package ssechat

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// yieldEvery is after how many streams a worker lets others have its core.
	// It would otherwise have that for 10 ms, because its calls are quick.
	yieldEvery = 16
	// watchEvery is how often a worker is looked after while it writes to
	// sockets that may block. One that is in the same write for so long is
	// replaced.
	watchEvery = time.Millisecond
	// manyBlocked workers are a sign that the kernel is short of memory. Then
	// each write that may block gets a goroutine of its own from the start.
	manyBlocked = 2
)

// worker is the goroutine that serves for a sender. If a write blocks it, the
// sender gets another one, and the worker ends with that write. So a peer that
// does not read costs the others a moment once, even where a write cannot be
// kept from blocking; see [socket.Socket.Write].
type worker struct {
	sender *sender
	buf    *buffer

	// queue is the streams of this turn that were not served yet, current the
	// one that is. Whoever replaces the worker takes over the queue.
	queue   []*parked
	current *parked

	// writes counts the begins and ends of writes that may block, so it is odd
	// during one.
	writes   atomic.Uint64
	seen     atomic.Uint64 // writes, when it was last looked after
	turning  atomic.Bool
	watch    *time.Timer
	handover sync.Mutex // held while the worker is replaced
	replaced bool       // the worker knows
}

// replacedBit is set in worker.writes by whoever replaces the worker.
const replacedBit = 1 << 63

func newWorker(s *sender) *worker {
	w := &worker{sender: s, buf: &buffer{bytes: make([]byte, 0, 2*usualSizes.batch), marks: make([]mark, 0, 1024)}}
	w.watch = time.AfterFunc(time.Hour, w.look)
	w.watch.Stop()
	return w
}

// run serves until the lot is done, or the worker is replaced. rest is what the
// turn of another worker has left.
func (w *worker) run(rest []*parked) {
	s := w.sender
	if w.queue = rest; len(rest) == 0 {
		s.turn.end()
	}
	for {
		for len(w.queue) > 0 {
			buf := w.queue
			s.turn.begin(s.lot.pace.published.Load())
			if !w.serveQueue() {
				return
			}
			s.turn.end()
			w.queue = s.take(buf)
		}
		select {
		case <-s.wake:
		case <-s.lot.done:
			w.watch.Stop()
			return
		}
		w.queue = s.take(w.queue)
	}
}

// serveQueue serves each stream of the queue once. It reports false if the
// worker was replaced meanwhile.
func (w *worker) serveQueue() bool {
	if w.sender.lot.mayBlock.Load() {
		w.turning.Store(true)
		w.watch.Reset(watchEvery)
		defer w.turning.Store(false)
	}
	for i := 0; len(w.queue) > 0; i++ {
		p := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		p.queued.Store(false) // first, or what comes meanwhile would be overlooked
		w.serve(p)
		if w.replaced {
			w.handover.Lock() // until that is done
			w.sender.lot.blocked.Add(-1)
			p.comeBack(true)
			return false
		}
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched() // publishers want to be answered
		}
	}
	return true
}

// serve serves a stream. A panic costs that stream only.
func (w *worker) serve(p *parked) {
	defer contain("writing to a stream", p.fail)
	if p.isAway() || p.closed {
		return
	}
	if p.socket.MayBlock() && w.sender.lot.blocked.Load() >= manyBlocked {
		p.away.Store(true)
		go p.serveAway()
		return
	}
	w.current = p
	if p.serve(w.buf, w) && !w.replaced {
		p.signal()
	}
}

// begin and end enclose each write that may block, for whoever looks after the
// worker. A nil worker is a goroutine that writes for one stream.
func (w *worker) begin() {
	if w != nil {
		w.writes.Add(1)
	}
}

func (w *worker) end() {
	if w != nil && w.writes.Add(1)&replacedBit != 0 {
		w.replaced = true
	}
}

// look replaces the worker if it is still in the write in which it was when it
// was last looked after.
func (w *worker) look() {
	if !w.turning.Load() {
		return
	}
	writes := w.writes.Load()
	w.handover.Lock()
	defer w.handover.Unlock()
	if seen := w.seen.Swap(writes); writes&1 == 0 || writes != seen || !w.writes.CompareAndSwap(writes, writes|replacedBit) {
		w.watch.Reset(watchEvery)
		return
	}
	// the stream is the worker's own now, and the rest of the turn another's
	w.sender.lot.blocked.Add(1)
	w.current.away.Store(true)
	go newWorker(w.sender).run(w.queue)
}
