package parking

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// Stream is a parked stream: a subscriber and a connection, without a goroutine,
// buffers or a request. One of a few senders writes for it and for many others.
//
// Only the goroutine that serves it according to its ticket may touch fields that
// are not atomic. That is its sender's worker, or a goroutine of its own where it
// may have to wait.
type Stream struct {
	sub    *hub.Subscriber
	conn   connection
	ticket hub.Ticket
	phase  atomic.Uint32
	rest   []byte // unwritten rest of a batch when the connection was full

	sender *Sender
	ended  func(*hub.Subscriber) // called once after the end; may be nil
}

// connection is what a stream writes to. The goroutine that serves the stream calls
// Write and End; the other methods may be called at any time.
type connection interface {
	// MayBlock reports whether Write may wait for the peer although it should
	// not. It is constant.
	MayBlock() bool
	// Write writes what the peer takes at once, and returns how many bytes that
	// was. If it is less than all, the stream's Writable is called once there is
	// room. After an error the connection can only be ended.
	Write(p []byte) (n int, err error)
	// End ends the stream, and its connection if that is the stream's alone. whole
	// is whether all was written, so that the stream can be ended as a whole.
	End(whole bool)
	// Abort fails a Write that blocks.
	Abort()
	// Touch reads a little of all that Write needs, so that it is in the processor's
	// cache then.
	Touch()
	// Unacked is [socket.Socket.Unacked] of the connection.
	Unacked() (since time.Duration, owed bool)
}

// The phases of a parked stream. A stream never goes back to an earlier one.
const (
	phaseOpen        = iota
	phaseGoodbye     // the goodbye is being written
	phaseSaidGoodbye // the goodbye was written
	phaseAborted     // nothing more is written
	phaseClosed
)

// Abort implements [hub.Parked]: it makes the stream close without another write.
func (p *Stream) Abort() {
	for phase := p.phase.Load(); phase < phaseAborted; phase = p.phase.Load() {
		if p.phase.CompareAndSwap(phase, phaseAborted) {
			break
		}
	}
	p.conn.Abort()
	p.ticket.Signal()
}

// touch reads a little of all that a write needs.
func (p *Stream) touch() {
	p.phase.Load()
	p.sub.Touch()
	p.conn.Touch()
}

// isAborted reports whether the stream is closed or has to be.
func (p *Stream) isAborted() bool { return p.phase.Load() >= phaseAborted }

// Unacked implements [hub.Parked].
func (p *Stream) Unacked() (since time.Duration, owed bool) { return p.conn.Unacked() }

// Writable implements [socket.Waiter] and [h2tap.Owner].
func (p *Stream) Writable() { p.ticket.Signal() }

// Gone implements [socket.Waiter] and [h2tap.Owner].
func (p *Stream) Gone() {
	p.sub.End(hub.EndClient)
	p.Abort()
}

// GoAway implements [h2tap.Owner]: the configuration of the connection's server was
// replaced a while ago.
func (p *Stream) GoAway() { p.sub.End(hub.EndReload) }

// nextStep is what the goroutine that serves a stream has to do after that.
type nextStep int

const (
	wait      nextStep = iota // wait for the next signal
	goOn                      // serve the stream again, after others
	readStore                 // read what only the store has
)

// serve writes what is pending, as far as the socket takes it and at most a batch.
// w is the worker that calls it; nil if the stream has a goroutine of its own.
func (p *Stream) serve(buf *hub.Buffer, w *worker) nextStep {
	if p.isAborted() || !p.flush(w) {
		p.close(w)
		return wait
	}
	if w != nil && w.replaced {
		return goOn
	}
	if len(p.rest) > 0 {
		return wait
	}
	if reason := p.sub.Over(); reason != "" {
		p.sayGoodbye(reason, w)
		return wait
	}
	out, deep := p.sub.NextNow(buf)
	switch {
	case deep && w == nil:
		return p.catchUp(buf)
	case deep:
		return readStore
	case len(out.Bytes) == 0:
		return wait
	}
	sent := p.send(out, w)
	buf.Keep(out)
	if !sent {
		p.close(w)
		return wait
	}
	// others come first; events after the messages wait for the next round
	if len(p.rest) == 0 && (p.sub.Events || p.sub.IsFull(&out)) {
		return goOn
	}
	return wait
}

// write is connection.Write.
func (p *Stream) write(b []byte, w *worker) (int, error) {
	if !p.conn.MayBlock() {
		return p.conn.Write(b)
	}
	p.sub.MayStall() // so that the time limit notices a blocked write
	w.begin()
	defer w.end()
	return p.conn.Write(b)
}

// flush writes what is left of an earlier batch. It reports whether the socket can
// still be used; after the whole goodbye it cannot.
func (p *Stream) flush(w *worker) bool {
	if len(p.rest) == 0 {
		return true
	}
	n, err := p.write(p.rest, w)
	if p.rest = p.rest[n:]; len(p.rest) == 0 {
		p.rest = nil
		p.sub.Written(n)
	} else if n > 0 {
		p.sub.Written(n)
		p.sub.Writing()
	}
	if err == nil && len(p.rest) == 0 && p.phase.CompareAndSwap(phaseGoodbye, phaseSaidGoodbye) {
		return false
	}
	return err == nil
}

// send writes a batch, and takes back what the socket does not take. It reports
// whether the socket can still be used.
func (p *Stream) send(out hub.Batch, w *worker) bool {
	n, err := p.write(out.Bytes, w)
	if err != nil {
		return false
	}
	p.sub.Written(n)
	if n < len(out.Bytes) {
		if p.rest = p.sub.TakeBack(&out, n); len(p.rest) > 0 {
			p.sub.Writing()
		}
	}
	p.sub.Delivered(out)
	return true
}

// sayGoodbye writes the goodbye, unless the peer is gone or too slow, and closes
// the stream after it.
func (p *Stream) sayGoodbye(reason string, w *worker) {
	if reason == hub.EndClient || reason == hub.EndSlow || !p.phase.CompareAndSwap(phaseOpen, phaseGoodbye) {
		p.close(w)
		return
	}
	p.rest = p.sub.Goodbye(reason)
	p.sub.Writing()
	if !p.flush(w) {
		p.close(w)
	}
}

// close ends the stream. Its deferred steps run even if one of them panics.
func (p *Stream) close(w *worker) {
	was := p.phase.Swap(phaseClosed)
	if was == phaseClosed {
		return
	}
	p.ticket.Close()
	p.rest = nil
	p.sub.End(hub.EndClient) // without another reason, a write has failed
	defer p.sender.lot.count(0, -1)
	defer func() {
		w.begin() // over TLS this writes a close alert, which may block
		defer w.end()
		p.conn.End(was == phaseSaidGoodbye)
	}()
	defer p.sub.Close() // before the peer sees the end, so that the counts are right by then
	if p.ended != nil {
		p.ended(p.sub)
	}
}

// fail ends a stream after a panic.
func (p *Stream) fail() {
	p.sub.End(hub.EndError)
	p.Abort()
}

// serveAlone serves the stream in the calling goroutine, which may block.
func (p *Stream) serveAlone(serve func(*hub.Buffer) nextStep) {
	next := goOn
	defer func() { p.ticket.Done(next == goOn) }()
	defer contain.Panic("writing to a stream", p.fail)
	buf := hub.Buffers.Get().(*hub.Buffer)
	next = serve(buf)
	hub.Buffers.Put(buf)
}

// catchUp reads from the store what the rings lack, and writes it. It may block.
func (p *Stream) catchUp(buf *hub.Buffer) nextStep {
	for p.sub.Over() == "" && !p.isAborted() {
		out := p.sub.NextStored(context.Background(), buf)
		if len(out.Bytes) == 0 {
			break
		}
		if !p.send(out, nil) {
			p.Abort()
		}
		buf.Keep(out)
		if len(p.rest) > 0 {
			break
		}
	}
	return goOn
}
