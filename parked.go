package ssechat

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// parked is a stream that has no goroutine, no buffers and no request any
// more: what is left of it is a subscriber and a socket. One of a few senders
// writes for it, and for many others.
//
// Only its sender touches what is not atomic, but while it is away: then the
// goroutine of catchUp does.
type parked struct {
	sub    *subscriber
	socket socket.Socket
	queued atomic.Bool // with the sender
	away   atomic.Bool // with a goroutine that reads from the store
	cut    atomic.Bool // not to be written to any more

	leaving bool // rest is the last
	closed  bool
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

// Gone implements [socket.Waiter].
func (p *parked) Gone() {
	p.sub.end(endClient)
	p.abort()
}

// serve writes what is pending, as far as the socket takes it, but no more
// than a batch. It reports whether there is more to write.
func (p *parked) serve(buf *buffer) (more bool) {
	if p.closed || p.away.Load() {
		return false // who is away comes back with a signal
	}
	if p.cut.Load() || !p.flush() {
		p.close()
		return false
	}
	if len(p.rest) > 0 {
		return false
	}
	if reason := p.sub.over(); reason != "" {
		p.leave(reason)
		return false
	}
	out, deep := p.sub.nextNow(buf)
	if deep {
		p.away.Store(true)
		go p.catchUp()
		return false
	}
	if len(out.bytes) == 0 {
		return false
	}
	sent := p.send(out)
	buf.keep(out)
	if !sent {
		p.close()
		return false
	}
	// others come first; what is behind the messages is for the next turn
	return len(p.rest) == 0 && (p.sub.events || len(out.bytes) >= p.sub.broker.sizes.batch)
}

// flush writes what was left of an event. It reports whether the socket can
// still be used.
func (p *parked) flush() bool {
	if len(p.rest) == 0 {
		return true
	}
	n, err := p.socket.Write(p.rest)
	if p.rest = p.rest[n:]; len(p.rest) == 0 {
		p.rest = nil
		p.sub.written(n)
	} else if n > 0 {
		p.sub.written(n)
		p.sub.writing()
	}
	if err == nil && p.leaving && len(p.rest) == 0 {
		return false
	}
	return err == nil
}

// send writes a batch, and takes back what the socket does not take. It
// reports whether the socket can still be used.
func (p *parked) send(out batch) bool {
	n, err := p.socket.Write(out.bytes)
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
func (p *parked) leave(reason string) {
	if reason == endClient || reason == endSlow {
		p.close()
		return
	}
	p.leaving = true
	p.rest = goodbye(p.sub.events, reason, retryAfterGoodbye(reason).ms())
	if p.sub.chunked {
		p.rest = append(asChunk(p.rest, 0), lastChunk...)
	}
	p.sub.writing()
	if !p.flush() {
		p.close()
	}
}

func (p *parked) close() {
	p.closed, p.rest = true, nil
	p.sub.end(endClient) // if nobody has said otherwise, writing has failed
	p.line.write(p.sub)
	p.sub.close() // before the peer can know of it, so that counts are right then
	p.sender.lot.poller.Remove(&p.socket)
	p.socket.Close()
	p.sender.lot.leave()
}

// catchUp reads from the store what the rings lack, which may take its time.
func (p *parked) catchUp() {
	defer p.comeBack()
	buf := buffers.Get().(*buffer)
	for p.sub.over() == "" && !p.cut.Load() {
		out := p.sub.nextStored(context.Background(), buf)
		if len(out.bytes) == 0 {
			break
		}
		if !p.send(out) {
			p.cut.Store(true)
		}
		buf.keep(out)
		if len(p.rest) > 0 {
			break
		}
	}
	buffers.Put(buf)
}

// comeBack gives the stream back to its sender. A panic costs this stream only,
// as it would in a handler.
func (p *parked) comeBack() {
	if reason := recover(); reason != nil {
		caddy.Log().Error("a stream has failed", zap.Any("panic", reason), zap.StackSkip("stack", 2))
		p.sub.end(endError)
		p.cut.Store(true)
	}
	p.away.Store(false)
	p.signal()
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
