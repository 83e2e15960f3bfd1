package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// verified returns the stream after it has checked that the stream still has the
// messages that this node has delivered. If not, it joins the stream anew, and the
// hub tells its readers of a gap. The first call joins the stream.
func (s *Store) verified(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if !s.joined() {
		stream, err := s.create(ctx, s.wanted())
		if err != nil {
			return nil, err
		}
		if stream, err = s.admit(ctx, stream, s.wanted()); err != nil {
			return nil, err
		}
		return stream, s.join(ctx, stream)
	}
	stream, err := s.stream(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !s.missing.lasted(missingFor) {
			return nil, err
		}
		stream, err = s.create(ctx, s.wanted())
	}
	if err != nil {
		return nil, err
	}
	s.missing.end()
	switch found, err := s.checkContinuity(ctx, stream.CachedInfo()); {
	case err != nil:
		return nil, err
	case found == intact:
		s.short.end()
		return stream, nil
	case found == shorter && !s.short.lasted(shortFor):
		return nil, errShort
	}
	s.short.end()
	s.logger.Error("the stream has lost messages or was replaced; readers are told of a gap",
		zap.Uint64("delivered", s.position), zap.Uint64("last", stream.CachedInfo().State.LastSeq))
	if stream, err = s.admit(ctx, stream, s.wanted()); err != nil {
		return nil, err
	}
	if err := s.join(ctx, stream); err != nil {
		return nil, err
	}
	s.missed(true)
	return stream, nil
}

var errShort = errors.New("the stream is shorter than what was read of it")

// continuity is the result of comparing a stream with what this node has delivered
// of it.
type continuity int

const (
	intact   continuity = iota // it has all of that, as far as this node can tell
	shorter                    // it ends before that
	replaced                   // it has other messages in that place
)

// grace measures how long a condition has lasted that may end by itself. The zero
// grace stands for a condition that does not hold.
type grace struct{ since time.Time }

// lasted records that the condition holds now, and reports whether it has held for
// at least d.
func (g *grace) lasted(d time.Duration) bool {
	if g.since.IsZero() {
		g.since = time.Now()
	}
	return time.Since(g.since) >= d
}

// end records that the condition does not hold.
func (g *grace) end() { g.since = time.Time{} }

// checkContinuity compares a stream with what this node has delivered of it.
func (s *Store) checkContinuity(ctx context.Context, info *jetstream.StreamInfo) (continuity, error) {
	if !info.Created.Equal(s.created) {
		return replaced, nil
	}
	if info.State.LastSeq < s.position {
		return shorter, nil
	}
	// compare the newest delivered message that the stream still has
	for _, m := range slices.Backward(s.marks) {
		e, err := s.get(ctx, getRequest{Seq: m.seq})
		if errors.Is(err, store.ErrNotFound) {
			continue // it was removed, which proves nothing
		}
		if err != nil {
			return intact, err
		}
		if !e.time.Equal(m.time) {
			return replaced, nil
		}
		return intact, nil
	}
	return intact, nil
}

// mark identifies a message of the stream that this node has delivered.
type mark struct {
	seq  uint64
	time time.Time
}

// maxMarks is how many of the newest messages checkContinuity may compare.
const maxMarks = 8

// addMark adds the newest message, and removes the oldest mark if there are too many.
func (s *Store) addMark(e *entry) {
	if len(s.marks) == maxMarks {
		s.marks = append(s.marks[:0], s.marks[1:]...)
	}
	s.marks = append(s.marks, mark{e.seq, e.time})
}
