package parking

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
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
	sender *Sender
	buf    *hub.Buffer

	// queue is the streams of this turn that were not served yet. Whoever
	// replaces the worker takes it over.
	queue []*hub.Ticket

	// writes counts the begins and ends of writes that may block, so it is odd
	// during one.
	writes   atomic.Uint64
	seen     atomic.Uint64 // writes, when it was last looked after
	inRound  atomic.Bool
	watch    *time.Timer
	handover sync.Mutex // held while the worker is replaced
	replaced bool       // the worker knows
}

// replacedBit is set in worker.writes by whoever replaces the worker.
const replacedBit = 1 << 63

func newWorker(s *Sender) *worker {
	w := &worker{sender: s, buf: hub.NewBuffer(2 * hub.BatchBytes)}
	w.watch = time.AfterFunc(time.Hour, w.look)
	w.watch.Stop()
	return w
}

// run serves until the lot is done, or the worker is replaced. rest is what the
// turn of another worker has left.
func (w *worker) run(rest []*hub.Ticket) {
	s := w.sender
	if w.queue = rest; len(rest) == 0 {
		s.round.End()
	}
	for {
		for len(w.queue) > 0 {
			buf := w.queue
			s.round.Begin(s.lot.hub.Pace.PublishedBytes.Load())
			if !w.serveQueue() {
				return
			}
			s.round.End()
			w.queue = s.queue.Take(buf)
		}
		select {
		case <-s.queue.Wake:
		case <-s.lot.done:
			w.watch.Stop()
			return
		}
		w.queue = s.queue.Take(w.queue)
	}
}

// serveQueue serves each stream of the queue once. It reports false if the
// worker was replaced meanwhile.
func (w *worker) serveQueue() bool {
	if w.sender.lot.mayBlock.Load() {
		w.inRound.Store(true)
		w.watch.Reset(watchEvery)
		defer w.inRound.Store(false)
	}
	for i := 0; len(w.queue) > 0; i++ {
		t := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		if w.serve(t); w.replaced {
			return false
		}
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched() // publishers want to be answered
		}
	}
	return true
}

// serve serves a stream, or has a goroutine of its own do so.
func (w *worker) serve(t *hub.Ticket) {
	t.Serve() // first, or what comes meanwhile would be overlooked
	p := t.Stream.(*Stream)
	lot := w.sender.lot
	if p.socket.MayBlock() && lot.blocked.Load() >= manyBlocked {
		go p.serveAlone(func(buf *hub.Buffer) nextStep { return p.serve(buf, nil) })
		return
	}
	next := w.tryServe(p)
	if w.replaced {
		w.handover.Lock() // until that is done
		lot.blocked.Add(-1)
		next = goOn
	}
	if next == readStore {
		lot.read(p)
		return
	}
	t.Done(next == goOn)
}

// tryServe serves a stream. A panic costs that stream only.
func (w *worker) tryServe(p *Stream) (next nextStep) {
	defer contain.Panic("writing to a stream", p.fail)
	return p.serve(w.buf, w)
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
	if !w.inRound.Load() {
		return
	}
	writes := w.writes.Load()
	w.handover.Lock()
	defer w.handover.Unlock()
	if seen := w.seen.Swap(writes); writes&1 == 0 || writes != seen || !w.writes.CompareAndSwap(writes, writes|replacedBit) {
		w.watch.Reset(watchEvery)
		return
	}
	// the stream stays with the worker, and the rest of the turn is another's
	w.sender.lot.blocked.Add(1)
	go newWorker(w.sender).run(w.queue)
}
