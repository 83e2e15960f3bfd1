package jetstream

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// How much of the stream's end a node reads when it joins, to know the nonces and
// which rooms are idle.
const (
	replayMessages = 20_000
	replayBytes    = 16 << 20
)

// join begins to follow a stream of which this node has delivered nothing yet. It
// reads the changes and counts the messages; follow then reads the stream's end.
func (s *Store) join(ctx context.Context, stream jetstream.Stream) error {
	info := stream.CachedInfo()
	stored, last, err := s.counts(ctx)
	if err != nil {
		return err
	}
	x := newIndex()
	x.begun, x.changes.since = last, last
	x.intact = info.State.LastSeq == info.State.Msgs
	var known nonces
	if err := s.readChanges(ctx, x, &known); err != nil {
		return err
	}
	if err := s.readMade(ctx, &known); err != nil {
		return err
	}
	for room, n := range stored {
		x.expect(room, n)
	}

	modern := serverIsAtLeast(s.nc, 2, 11) // before the lock is taken, because it may block

	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = x
	s.created = info.Created
	s.marks = nil
	s.recent = recentIDs{}
	s.nonces = known
	s.fresh = fresh{}
	s.batches.Store(modern)
	s.rollups.Store(modern)
	s.atomic = info.Config.AllowAtomicPublish
	if s.latest.N > last.N {
		s.latest.Ms++ // or it would not be newer than every id that was delivered
	}
	s.latest = store.ID{Ms: max(last.Ms, s.latest.Ms), N: last.N}
	s.replayUntil = last.N
	s.position = max(info.State.FirstSeq, 1) - 1
	if n := replayCount(info.State); last.N-s.position > n {
		s.position = last.N - n
	}
	s.wakeAllWaiters()
	return nil
}

// replayCount returns how many messages of the stream's end to read.
func replayCount(state jetstream.StreamState) uint64 {
	if state.Msgs == 0 {
		return 0
	}
	size := state.Bytes/state.Msgs + 1
	return max(1, min(replayMessages, replayBytes/size))
}

// joined reports whether the node has joined the stream before.
func (s *Store) joined() bool { return !s.created.IsZero() }

// counts returns how many messages of each room the stream has, and the id of its
// last message.
func (s *Store) counts(ctx context.Context) (map[string]int, store.ID, error) {
	stream, err := s.stream(ctx)
	if err != nil {
		return nil, store.ID{}, err
	}
	info, err := call(ctx, s, func() (*jetstream.StreamInfo, error) {
		return stream.Info(ctx, jetstream.WithSubjectFilter(s.subjects.rooms()))
	})
	if err != nil {
		return nil, store.ID{}, s.streamError(err)
	}
	rooms := make(map[string]int, len(info.State.Subjects))
	for subject, n := range info.State.Subjects {
		if name, ok := s.subjects.roomOf(subject); ok {
			rooms[name] = int(n)
		}
	}
	s.mu.Lock()
	s.physical = int(info.Config.MaxMsgsPerSubject)
	s.mu.Unlock()
	last := store.ID{N: info.State.LastSeq}
	if last.N > 0 {
		last.Ms = max(0, info.State.LastTime.UnixMilli())
	}
	return rooms, last, nil
}

// last returns the last sequence of the stream, from its leader.
func (s *Store) last(ctx context.Context) (uint64, error) {
	stream, err := s.stream(ctx)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// readChanges applies all changes that the stream still has to an index and nonces.
func (s *Store) readChanges(ctx context.Context, x *index, n *nonces) error {
	entries, err := s.readSubject(ctx, s.subjects.changes(), false)
	if err != nil {
		return err
	}
	count := s.wanted().Count
	for _, e := range entries {
		id, err := e.id()
		if err != nil {
			continue
		}
		if c, err := decodeChange(e.data); err == nil {
			c.apply(x, n, id, time.Now(), count)
		}
	}
	// the stream may have removed older ones
	if len(entries) >= slack {
		if id, err := entries[0].id(); err == nil {
			x.unknown, n.unknown = store.Newest(x.unknown, id), id
		}
	}
	return nil
}

// readMade adds the nonces of the newest changes to nonces, and those of messages that
// were deleted. The stream's end that follow reads may be shorter than [store.NonceLife].
func (s *Store) readMade(ctx context.Context, n *nonces) error {
	since, now := time.Now().Add(-store.NonceLife), time.Now()
	entries, err := s.readSubjectSince(ctx, s.subjects.revisions(), &since, true)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at, err := e.id()
		if err != nil {
			continue
		}
		r, err := decodeHead(s.subjects, e)
		if err != nil {
			continue
		}
		for _, made := range append(slices.Clip(r.made), e.key()) {
			n.addMade(made, at, now)
		}
		if r.kind == store.Delete {
			n.bury(r.nonce, r.id, now)
		}
	}
	return nil
}

// serverIsAtLeast reports whether the server has that version or a newer one.
func serverIsAtLeast(nc *nats.Conn, major, minor int) bool {
	var gotMajor, gotMinor int
	if _, err := fmt.Sscanf(nc.ConnectedServerVersion(), "%d.%d", &gotMajor, &gotMinor); err != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
