package hub

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/pages"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Next returns what is pending for the reader, up to the size of a batch, or an
// empty batch. The batch may be backed by buf or by shared memory, which must not
// be changed. Next may wait for the store, at most [ReadTimeout]. The writing
// goroutine calls it.
func (s *Subscriber) Next(ctx context.Context, buf []byte) Batch {
	out := Batch{Bytes: buf[:0]}
	s.initCursor()
	quick := s.start == nil && s.page == nil && !s.Events && s.pendingGap.Load() == nil
	if quick {
		s.fromRings(&out)
		quick = s.page == nil
	}
	if !quick {
		ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
		defer cancel()
		if err := s.slowNext(ctx, &out); err != nil {
			s.storeFailed(err)
		}
	}
	s.heartbeat(&out)
	return out
}

// slowNext is Next for a subscriber that has to catch up or asked for named events.
func (s *Subscriber) slowNext(ctx context.Context, out *Batch) error {
	out.mixed = true
	if err := s.appendPendingGap(ctx, out); err != nil {
		return err
	}
	if s.start != nil {
		if err := s.begin(ctx, out); err != nil {
			return err
		}
	}
	for {
		if s.page != nil {
			if err := s.fromStore(ctx, out); err != nil || s.page != nil {
				return err
			}
		}
		if s.fromRings(out); s.page == nil {
			break
		} // the rings dropped messages meanwhile: read the store again
	}
	if s.Events {
		s.appendEvents(out)
	}
	return nil
}

// NextNow is Next for a parked subscriber: it does not wait for the store, and
// reports whether the subscriber needs [Subscriber.NextStored] instead. A batch has
// either messages or named events, because only messages can be taken back. The
// writing goroutine calls it.
func (s *Subscriber) NextNow(buf *Buffer) (out Batch, needsStore bool) {
	out = buf.batch()
	s.initCursor()
	gap := s.pendingGap.Load() != nil
	if s.page == nil && !gap {
		s.fromRings(&out)
	}
	if s.page != nil || gap {
		if s.retryAt.Load() == 0 {
			return Batch{}, true
		}
		s.heartbeat(&out)
		return out, false
	}
	if len(out.Bytes) == 0 && s.Events {
		s.appendEvents(&out)
	}
	s.heartbeat(&out)
	return out, false
}

// NextStored returns what the store has and the rings lack, up to the size of a
// batch. The batch is empty if there is no more, or the store cannot be read, which
// is retried later. It waits for the store, at most [ReadTimeout]. The writing
// goroutine calls it.
func (s *Subscriber) NextStored(ctx context.Context, buf *Buffer) Batch {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	out := buf.batch()
	err := s.appendPendingGap(ctx, &out)
	if err == nil && s.page != nil {
		err = s.fromStore(ctx, &out)
	}
	if err != nil {
		s.storeFailed(err)
	}
	return out
}

// Started reports whether the first read, which needs the store, is done. A
// subscriber cannot be parked before. The writing goroutine calls it.
func (s *Subscriber) Started() bool { return s.start == nil }

// appendEvents appends the named events that are due.
func (s *Subscriber) appendEvents(out *Batch) {
	start := len(out.Bytes)
	defer func() { s.endNamed(out, start) }()
	if !s.caughtUp {
		if s.page != nil || s.IsFull(out) {
			return
		}
		s.caughtUp = true
		out.Bytes = wire.AppendLive(out.Bytes, s.newest)
	}
	now := s.hub.wheel.Elapsed()
	for i := range s.seats {
		seat := &s.seats[i]
		out.Bytes = seat.appendSignals(out.Bytes)
		if seat.seen.needsPresence(seat.room.feed) && seat.seen.presenceDue(now) {
			out.Bytes = append(out.Bytes, seat.presenceEvent(now)...)
		}
	}
}

// heartbeat appends a heartbeat if one is due and the batch is empty.
func (s *Subscriber) heartbeat(out *Batch) {
	if !s.beat.Load() {
		return
	}
	s.beat.Store(false)
	if len(out.Bytes) > 0 {
		return
	}
	if s.Events {
		out.Bytes = wire.AppendPing(out.Bytes, time.Now().UnixMilli())
	} else {
		out.Bytes = append(out.Bytes, wire.HeartbeatLine...)
	}
	s.endNamed(out, 0)
}

// Delivered counts the messages of a batch that was written, less those that were
// taken back. The writing goroutine calls it.
func (s *Subscriber) Delivered(out Batch) {
	if out.messages == 0 {
		return
	}
	s.messages += uint64(out.messages)
	s.deliveries.delivered.Add(uint64(out.messages))
	if out.replayed > 0 {
		s.deliveries.replayed.Add(uint64(out.replayed))
	}
}

// TakeBack moves the cursor back before the messages of a batch of which the socket
// took nothing, so that they are read again later. n is how many bytes it took. It
// returns the bytes that the caller must still write: the rest of a split event,
// and everything up to the last event that is not a message and so cannot be read
// again. The writing goroutine calls it before Delivered.
func (s *Subscriber) TakeBack(out *Batch, n int) (rest []byte) {
	if out.shared {
		return out.Bytes[n:] // a single shared message; it does not change
	}
	// keep at least one message, so that the socket's next event has something to
	// write
	end := max(n, out.named)
	i, _ := slices.BinarySearchFunc(out.marks, max(end, 1), func(m mark, at int) int { return cmp.Compare(m.end, at) })
	if (end > out.named || end == 0) && i < len(out.marks) {
		end = out.marks[i].end
		i++
	}
	if again := out.marks[i:]; len(again) > 0 {
		s.cursor, s.page, s.unread = again[0].id.Prev(), nil, nil
		for _, m := range again {
			if !m.notice {
				out.messages--
			}
		}
		out.replayed = min(out.replayed, out.messages)
	}
	return slices.Clone(out.Bytes[n:end])
}

// storeFailed makes the stream wait before the next read of a store that failed.
func (s *Subscriber) storeFailed(err error) {
	if errors.Is(err, store.ErrClosed) || errors.Is(err, pages.ErrPanicked) {
		s.End(EndError)
		return
	}
	// jitter, so that streams do not all retry at once
	wait := time.Second + rand.N(2*time.Second)
	s.retryAt.Store(s.hub.wheel.Now() + wheel.Ticks(wait))
}
