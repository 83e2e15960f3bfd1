package ssechat

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// parked is a stream that has no goroutine, no buffers and no request any
// more: what is left of it is a subscriber and a socket. One of a few senders
// writes for it, and for many others.
//
// Only its sender's worker touches what is not atomic, but while it is away:
// then another goroutine does.
type parked struct {
	sub    *subscriber
	socket socket.Socket
	queued atomic.Bool // with the sender
	away   atomic.Bool // with a goroutine of its own
	again  atomic.Bool // it was to be served while it was away
	cut    atomic.Bool // not to be written to any more

	reading atomic.Bool // a goroutine takes what the peer sends
	unread  atomic.Bool // the peer has sent more meanwhile

	leaving bool // rest is the last
	left    bool // and it was written
	closed  bool
	failed  bool   // serving it has panicked
	rest    []byte // of the event in which the socket was full

	sender *sender
	line   *accessLine // nil if the stream is not logged
}

// signal has the sender look after the stream soon.
func (p *parked) signal() {
	if p.queued.CompareAndSwap(false, true) {
		p.sender.add(p)
	}
}

// abort gives up a socket that does not take what is written.
func (p *parked) abort() {
	p.cut.Store(true)
	p.socket.Abort()
	p.signal()
}

// Writable implements [socket.Waiter].
func (p *parked) Writable() { p.signal() }

// Readable implements [socket.Waiter].
func (p *parked) Readable() {
	p.unread.Store(true)
	if p.reading.CompareAndSwap(false, true) {
		go p.read()
	}
}

// Gone implements [socket.Waiter].
func (p *parked) Gone() {
	p.sub.end(endClient)
	p.abort()
}

// read takes what the peer of a TLS connection sends: new keys, or that it
// goes.
func (p *parked) read() {
	defer contain("reading from a stream's connection", p.fail)
	for p.unread.Swap(false) {
		if err := p.socket.Read(); err != nil {
			p.Gone()
			return // and it is read no more
		}
		p.reading.Store(false)
		if !p.unread.Load() || !p.reading.CompareAndSwap(false, true) {
			return
		}
	}
	p.reading.Store(false)
}

// serve writes what is pending, as far as the socket takes it, but no more
// than a batch. It reports whether there is more to write. w is the worker that
// calls it, or nil if the stream is away.
func (p *parked) serve(buf *buffer, w *worker) (more bool) {
	if p.cut.Load() || !p.flush(w) {
		p.close(w)
		return false
	}
	if w != nil && w.replaced {
		return true
	}
	if len(p.rest) > 0 {
		return false
	}
	if reason := p.sub.over(); reason != "" {
		p.leave(reason, w)
		return false
	}
	out, deep := p.sub.nextNow(buf)
	switch {
	case deep && w == nil:
		return p.catchUp(buf)
	case deep:
		p.away.Store(true)
		p.sender.lot.read(p)
		return false
	case len(out.bytes) == 0:
		return false
	}
	sent := p.send(out, w)
	buf.keep(out)
	if !sent {
		p.close(w)
		return false
	}
	// others come first; what is behind the messages is for the next turn
	return len(p.rest) == 0 && (p.sub.events || len(out.bytes) >= p.sub.broker.sizes.batch)
}

// write is [socket.Socket.Write].
func (p *parked) write(b []byte, w *worker) (int, error) {
	if !p.socket.MayBlock() {
		return p.socket.Write(b)
	}
	if p.sub.writingSince.Load() == 0 {
		p.sub.writing() // or nobody would know that it is blocked
	}
	w.begin()
	defer w.end()
	return p.socket.Write(b)
}

// flush writes what was left of an event. It reports whether the socket can
// still be used.
func (p *parked) flush(w *worker) bool {
	if len(p.rest) == 0 {
		return true
	}
	n, err := p.write(p.rest, w)
	if p.rest = p.rest[n:]; len(p.rest) == 0 {
		p.rest = nil
		p.sub.written(n)
	} else if n > 0 {
		p.sub.written(n)
		p.sub.writing()
	}
	if err == nil && p.leaving && len(p.rest) == 0 {
		p.left = true
		return false
	}
	return err == nil
}

// send writes a batch, and takes back what the socket does not take. It
// reports whether the socket can still be used.
func (p *parked) send(out batch, w *worker) bool {
	n, err := p.write(out.bytes, w)
	if err != nil {
		return false
	}
	p.sub.written(n)
	if n < len(out.bytes) {
		if p.rest = p.sub.takeBack(&out, n); len(p.rest) > 0 {
			p.sub.writing()
		}
	}
	p.sub.delivered(out)
	return true
}

// leave says goodbye, if there is somebody to say it to, and closes.
func (p *parked) leave(reason string, w *worker) {
	if reason == endClient || reason == endSlow {
		p.close(w)
		return
	}
	p.leaving = true
	p.rest = goodbye(p.sub.events, reason, retryAfterGoodbye(reason).ms())
	if p.sub.chunked {
		p.rest = asChunk(p.rest, 0)
	}
	p.sub.writing()
	if !p.flush(w) {
		p.close(w)
	}
}

// close ends the stream. All of it is done, whatever panics.
func (p *parked) close(w *worker) {
	if p.closed {
		return
	}
	p.closed, p.rest = true, nil
	p.sub.end(endClient) // if nobody has said otherwise, writing has failed
	defer p.sender.lot.leave()
	defer func() {
		p.sender.lot.poller.Remove(&p.socket)
		w.begin() // over TLS it says goodbye
		defer w.end()
		if p.left && p.sub.chunked {
			_, _ = p.socket.Write([]byte(lastChunk)) // there is room, or the connection's end has to do
		}
		p.socket.Close()
	}()
	defer p.sub.close() // before the peer can know of it, so that counts are right then
	p.line.write(p.sub)
}

// fail ends a stream that cannot be served because of a panic.
func (p *parked) fail() {
	p.sub.end(endError)
	p.cut.Store(true)
	if p.failed {
		p.closed = true // it cannot be closed either
		return
	}
	p.failed = true
	p.signal()
}

// isAway reports whether a goroutine of its own serves the stream, which then
// does so again before it comes back.
func (p *parked) isAway() bool {
	if !p.away.Load() {
		return false
	}
	p.again.Store(true)
	return p.away.Load() || !p.again.Swap(false)
}

// comeBack gives the stream back to its sender, which has to serve it if there
// is more, or if it was to do so meanwhile.
func (p *parked) comeBack(more bool) {
	p.away.Store(false)
	if p.again.Swap(false) || more {
		p.signal()
	}
}

// serveAway is serve in a goroutine of its own.
func (p *parked) serveAway() { p.goAway(func(buf *buffer) bool { return p.serve(buf, nil) }) }

// readAway is catchUp in a goroutine of its own.
func (p *parked) readAway() { p.goAway(p.catchUp) }

func (p *parked) goAway(do func(*buffer) (more bool)) {
	more := true
	defer func() { p.comeBack(more) }()
	defer contain("writing to a stream", p.fail)
	buf := buffers.Get().(*buffer)
	more = do(buf)
	buffers.Put(buf)
}

// catchUp reads from the store what the rings lack, which may take its time,
// and writes it. The rings may have more.
func (p *parked) catchUp(buf *buffer) (more bool) {
	for p.sub.over() == "" && !p.cut.Load() {
		out := p.sub.nextStored(context.Background(), buf)
		if len(out.bytes) == 0 {
			break
		}
		if !p.send(out, nil) {
			p.cut.Store(true)
		}
		buf.keep(out)
		if len(p.rest) > 0 {
			break
		}
	}
	return true
}

// nextNow is next for one who must not wait for the store. It reports whether
// only the store can go on. Messages and named events come in batches of
// their own, because only messages can be taken back.
func (s *subscriber) nextNow(buf *buffer) (out batch, deep bool) {
	out = buf.batch()
	s.awake()
	missed := s.missed.Load() != nil
	if s.deep == nil && !missed {
		s.fromRings(&out)
	}
	if s.deep != nil || missed {
		if s.retryAt.Load() == 0 {
			return batch{}, true
		}
		s.heartbeat(&out)
		return out, false
	}
	if len(out.bytes) == 0 && s.events {
		s.appendEvents(&out)
	}
	s.heartbeat(&out)
	return out, false
}

// nextStored returns what the store has and the rings lack, up to the size of
// a batch, or nothing if there is no more or the store cannot be read.
func (s *subscriber) nextStored(ctx context.Context, buf *buffer) batch {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	out := buf.batch()
	err := s.tellMissed(ctx, &out)
	if err == nil && s.deep != nil {
		err = s.fromStore(ctx, &out)
	}
	if err != nil {
		s.storeFailed(err)
	}
	return out
}

// takeBack takes back the messages of a batch of which nothing was written,
// because the socket took only n bytes, so that they are read again later. It
// returns what else was not written: the rest of an event, and all up to the
// last event that is no message, for those cannot be read again.
func (s *subscriber) takeBack(out *batch, n int) (rest []byte) {
	if out.shared {
		return out.bytes[n:] // of a single message, which stays as it is
	}
	// the first message that is not before that; one is left at least, so that
	// there is something to wait for
	end := max(n, out.named)
	i, _ := slices.BinarySearchFunc(out.marks, max(end, 1), func(m mark, at int) int { return cmp.Compare(m.end, at) })
	if (end > out.named || end == 0) && i < len(out.marks) {
		end = out.marks[i].end
		i++
	}
	if again := out.marks[i:]; len(again) > 0 {
		s.cursor, s.deep = again[0].id.Prev(), nil
		out.messages -= len(again)
		out.replayed = min(out.replayed, out.messages)
	}
	return slices.Clone(out.bytes[n:end])
}
