package hub

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Next returns all that is pending for the reader, up to the size of a batch, or
// nothing. It appends to buf only what it cannot take from elsewhere. It may wait
// for the store.
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

// slowNext is next for those with a past to catch up with, or with a wish for
// named events.
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
		} // otherwise the rings have moved on meanwhile
	}
	if s.Events {
		s.appendEvents(out)
	}
	return nil
}

// NextNow is next for one who must not wait for the store. It reports whether
// only the store can go on. Messages and named events come in batches of
// their own, because only messages can be taken back.
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

// NextStored returns what the store has and the rings lack, up to the size of
// a batch, or nothing if there is no more or the store cannot be read.
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

// Started reports whether the reader has got its first read, which only the
// store can give it. Only then can it be parked.
func (s *Subscriber) Started() bool { return s.start == nil }

// IsFull reports whether a batch takes no further message.
func (s *Subscriber) IsFull(out *Batch) bool { return len(out.Bytes) >= s.hub.sizes.batch }

// take appends a message and moves the cursor there.
func (s *Subscriber) take(out *Batch, m *store.Message) {
	out.Bytes = append(out.Bytes, s.frame(m)...)
	if out.marks != nil {
		out.marks = append(out.marks, mark{len(out.Bytes), m.ID})
	}
	s.pass(out, m)
}

// share takes a message by itself, from where it lies.
func (s *Subscriber) share(out *Batch, m *store.Message) {
	out.Bytes, out.shared = s.frame(m), true
	s.pass(out, m)
}

// pass moves the cursor to a message that is in a batch.
func (s *Subscriber) pass(out *Batch, m *store.Message) {
	out.messages++
	if !m.ID.After(s.replayEnd) {
		out.replayed++
	}
	s.cursor, s.newest = m.ID, m.ID
}

// frame returns a message as the reader's connection takes it.
func (s *Subscriber) frame(m *store.Message) []byte {
	if s.chunked {
		return m.Chunk()
	}
	return m.Frame()
}

// endNamed makes what a batch has from start on, which is not a message, what
// the reader's connection takes.
func (s *Subscriber) endNamed(out *Batch, start int) {
	if len(out.Bytes) == start {
		return
	}
	if s.chunked {
		out.Bytes = wire.AsChunk(out.Bytes, start)
	}
	out.named = len(out.Bytes)
}

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
		if n := seat.room.deletions.total.Load(); n > seat.seen.deletions {
			ids, total := seat.room.deletions.since(seat.seen.deletions)
			for _, id := range ids {
				out.Bytes = wire.AppendDelete(out.Bytes, id)
			}
			seat.seen.deletions = total
		}
		if seat.seen.needsPresence(seat.room.feed) && seat.seen.presenceDue(now) {
			out.Bytes = append(out.Bytes, seat.presenceEvent(now)...)
		}
	}
}

// heartbeat adds one if it is due and nothing else is.
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

// Delivered counts a batch that was written.
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

// TakeBack takes back the messages of a batch of which nothing was written,
// because the socket took only n bytes, so that they are read again later. It
// returns what else was not written: the rest of an event, and all up to the
// last event that is no message, for those cannot be read again.
func (s *Subscriber) TakeBack(out *Batch, n int) (rest []byte) {
	if out.shared {
		return out.Bytes[n:] // of a single message, which stays as it is
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
		s.cursor, s.page, s.unread = again[0].id.Prev(), nil, nil
		out.messages -= len(again)
		out.replayed = min(out.replayed, out.messages)
	}
	return slices.Clone(out.Bytes[n:end])
}

// storeFailed has the stream wait for a store that cannot be read now.
func (s *Subscriber) storeFailed(err error) {
	if errors.Is(err, store.ErrClosed) || errors.Is(err, errPanicked) {
		s.End(EndError)
		return
	}
	// not all at once
	wait := time.Second + rand.N(2*time.Second)
	s.retryAt.Store(s.hub.wheel.Now() + wheel.Ticks(wait))
}
