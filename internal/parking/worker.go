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
	// yieldEvery is how many streams a worker serves before it yields its core. It
	// would otherwise keep it for 10 ms, because its system calls are quick.
	yieldEvery = 16
	// watchEvery is how often a worker is checked while it writes to sockets that
	// may block. A worker that is in the same write at two checks in a row is
	// replaced.
	watchEvery = time.Millisecond
	// manyBlocked is how many blocked workers indicate that the kernel is short of
	// memory. From then on each write that may block gets a goroutine of its own.
	manyBlocked = 2
)

// worker is the goroutine of a sender. If a write blocks it, another worker
// replaces it, and it ends after that write. So a peer that does not read delays
// the others only once, by a moment, even where a write may block; see
// [socket.Socket.Write].
type worker struct {
	sender *Sender
	buf    *hub.Buffer

	// queue is what is left of this round. The worker that replaces this one takes
	// it over.
	queue []*hub.Ticket

	// writes counts begins and ends of writes that may block, so it is odd during
	// one. It has replacedBit once the worker is replaced.
	writes   atomic.Uint64
	seen     atomic.Uint64 // writes at the last check
	inRound  atomic.Bool   // set during a round that has to be watched
	watch    *time.Timer   // calls look
	handover sync.Mutex    // held while the worker is being replaced
	replaced bool          // set by the worker once it notices
}

// replacedBit in worker.writes marks a worker as replaced.
const replacedBit = 1 << 63

func newWorker(s *Sender) *worker {
	w := &worker{sender: s, buf: hub.NewBuffer(2 * hub.BatchBytes)}
	w.watch = time.AfterFunc(time.Hour, w.look)
	w.watch.Stop()
	return w
}

// run serves until the lot is done or the worker is replaced. rest is what another
// worker has left of its round.
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

// serveQueue serves each stream of the queue once. It reports false if the worker
// was replaced meanwhile.
func (w *worker) serveQueue() bool {
	if w.sender.lot.mayBlock.Load() {
		w.inRound.Store(true)
		w.watch.Reset(watchEvery)
		defer w.inRound.Store(false)
	}
	for i := 0; len(w.queue) > 0; i++ {
		if i%yieldEvery == 0 && w.sender.lot.mayBlock.Load() {
			w.touchNext()
		}
		t := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		if w.serve(t); w.replaced {
			return false
		}
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched() // lets publishers be answered
		}
	}
	return true
}

// touchNext touches the streams that are served before the next yield. With many
// streams, each has left the processor's cache since its last turn, and a processor
// loads several at a time, but not while it works on one. Over TLS, where a stream
// needs much, that saves about a tenth; without TLS it costs more than it saves.
func (w *worker) touchNext() {
	for _, t := range w.queue[:min(yieldEvery, len(w.queue))] {
		t.Stream.(*Stream).touch()
	}
}

// serve serves a stream, or makes a goroutine of its own do so.
func (w *worker) serve(t *hub.Ticket) {
	t.Serve() // first, or a signal that comes meanwhile would be lost
	p := t.Stream.(*Stream)
	lot := w.sender.lot
	if p.conn.MayBlock() && lot.blocked.Load() >= manyBlocked {
		go p.serveAlone(func(buf *hub.Buffer) nextStep { return p.serve(buf, nil) })
		return
	}
	next := w.tryServe(p)
	if w.replaced {
		w.handover.Lock() // wait until the replacement has the queue
		lot.blocked.Add(-1)
		w.handover.Unlock()
		next = goOn
	}
	if next == readStore {
		lot.read(p)
		return
	}
	t.Done(next == goOn)
}

// tryServe serves a stream. A panic ends that stream only.
func (w *worker) tryServe(p *Stream) (next nextStep) {
	defer contain.Panic("writing to a stream", p.fail)
	return p.serve(w.buf, w)
}

// begin and end enclose each write that may block, for look. A nil worker is a
// goroutine that writes for one stream only.
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

// look replaces the worker if it is still in the same write as at the last check.
func (w *worker) look() {
	w.handover.Lock()
	defer w.handover.Unlock()
	writes := w.writes.Load()
	if !w.inRound.Load() || writes&replacedBit != 0 {
		return
	}
	if seen := w.seen.Swap(writes); writes&1 == 0 || writes != seen || !w.writes.CompareAndSwap(writes, writes|replacedBit) {
		w.watch.Reset(watchEvery)
		return
	}
	// the old worker keeps its stream, the new one gets the rest of the round
	w.sender.lot.blocked.Add(1)
	go newWorker(w.sender).run(w.queue)
}
