package ssechat

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// batch is what goes to a reader in one write.
type batch struct {
	bytes []byte
	// messages is how many messages that is, replayed how many of them are
	// older than the stream.
	messages, replayed int
	// shared tells that bytes are not the caller's to change.
	shared bool
	// marks are where the messages end, if a part of the batch may be written
	// and the rest taken back; otherwise nil.
	marks []mark
	// named is where the last event ends that is no message and cannot be
	// read again, or a heartbeat.
	named int
}

// mark is where a message ends in a batch.
type mark struct {
	end int
	id  store.ID
}

// readTimeout is how long one read of the store may take. Then the stream waits
// a moment and tries again.
const readTimeout = 10 * time.Second

// next returns all that is pending for the reader, up to the size of a batch, or
// nothing. It appends to buf only what it cannot take from elsewhere.
func (s *subscriber) next(ctx context.Context, buf []byte) batch {
	out := batch{bytes: buf[:0]}
	s.awake()
	quick := s.start == nil && s.deep == nil && !s.events && s.missed.Load() == nil
	if quick {
		s.fromRings(&out)
		quick = s.deep == nil
	}
	if !quick {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		if err := s.slowNext(ctx, &out); err != nil {
			s.storeFailed(err)
		}
	}
	s.heartbeat(&out)
	return out
}

// slowNext is next for those with a past to catch up with, or with a wish for
// named events.
func (s *subscriber) slowNext(ctx context.Context, out *batch) error {
	if err := s.tellMissed(ctx, out); err != nil {
		return err
	}
	if s.start != nil {
		if err := s.begin(ctx, out); err != nil {
			return err
		}
	}
	for {
		if s.deep != nil {
			if err := s.fromStore(ctx, out); err != nil || s.deep != nil {
				return err
			}
		}
		buf := out.bytes
		s.fromRings(out)
		if out.shared { // more may follow it
			out.bytes, out.shared = append(buf, out.bytes...), false
		}
		if s.deep == nil {
			break
		} // otherwise the rings have moved on meanwhile
	}
	if s.events {
		s.appendEvents(out)
	}
	return nil
}

// started reports whether the reader has got its first read, which only the
// store can give it. Only then can it be parked.
func (s *subscriber) started() bool { return s.start == nil }

// heartbeat adds one if it is due and nothing else is.
func (s *subscriber) heartbeat(out *batch) {
	if !s.beat.Load() {
		return
	}
	s.beat.Store(false)
	if len(out.bytes) > 0 {
		return
	}
	if s.events {
		out.bytes = appendPing(out.bytes, time.Now().UnixMilli())
	} else {
		out.bytes = append(out.bytes, heartbeatLine...)
	}
	s.endNamed(out, 0)
}

// frame returns a message as the reader's connection takes it.
func (s *subscriber) frame(m *store.Message) []byte {
	if s.chunked {
		return m.Chunk()
	}
	return m.Frame()
}

// endNamed makes what a batch has from start on, which is not a message, what
// the reader's connection takes.
func (s *subscriber) endNamed(out *batch, start int) {
	if len(out.bytes) == start {
		return
	}
	if s.chunked {
		out.bytes = asChunk(out.bytes, start)
	}
	out.named = len(out.bytes)
}

// storeFailed has the stream wait for a store that cannot be read now.
func (s *subscriber) storeFailed(err error) {
	if errors.Is(err, store.ErrClosed) || errors.Is(err, errPanicked) {
		s.end(endError)
		return
	}
	// not all at once
	wait := time.Second + rand.N(2*time.Second)
	s.retryAt.Store(s.broker.wheel.now() + ticks(wait))
}
