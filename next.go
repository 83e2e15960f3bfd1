package ssechat

import (
	"context"
	"errors"
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
}

// next returns all that is pending for the reader, up to the size of a batch, or
// nothing. It appends to buf only what it cannot take from elsewhere.
func (s *subscriber) next(ctx context.Context, buf []byte) batch {
	var out batch
	s.awake()
	if s.start == nil && s.deep == nil && !s.events && s.missed.Load() == nil {
		if out = s.fromRings(buf); s.deep == nil {
			return s.heartbeat(out)
		}
	}
	out, err := s.slowNext(ctx, batch{bytes: buf[:0]})
	if err != nil {
		s.storeFailed(err)
	}
	return s.heartbeat(out)
}

// slowNext is next for those with a past to catch up with, or with a wish for
// named events.
func (s *subscriber) slowNext(ctx context.Context, out batch) (batch, error) {
	if err := s.tellMissed(ctx, &out); err != nil {
		return out, err
	}
	if s.start != nil {
		if err := s.begin(ctx, &out); err != nil {
			return out, err
		}
	}
	for {
		if s.deep != nil {
			if err := s.fromStore(ctx, &out); err != nil || s.deep != nil {
				return out, err
			}
		}
		more := s.fromRings(out.bytes[len(out.bytes):])
		if s.deep != nil {
			continue // the rings have moved on meanwhile
		}
		out.bytes = append(out.bytes, more.bytes...)
		out.messages += more.messages
		out.replayed += more.replayed
		break
	}
	if s.events {
		s.appendEvents(&out)
	}
	return out, nil
}

// started reports whether the reader has got its first read, which only the
// store can give it. Only then can it be parked.
func (s *subscriber) started() bool { return s.start == nil }

// heartbeat adds one if it is due and nothing else is.
func (s *subscriber) heartbeat(out batch) batch {
	if !s.beat.Load() {
		return out
	}
	s.beat.Store(false)
	if len(out.bytes) > 0 {
		return out
	}
	if s.events {
		out.bytes = appendPing(out.bytes[:0], time.Now().UnixMilli())
	} else {
		out.bytes = append(out.bytes[:0], heartbeatLine...)
	}
	return out
}

// storeFailed has the stream wait for a store that cannot be read now.
func (s *subscriber) storeFailed(err error) {
	if errors.Is(err, store.ErrClosed) {
		s.end(endError)
		return
	}
	s.retryAt.Store(s.broker.wheel.now() + ticks(time.Second))
}
