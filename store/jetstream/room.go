package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
)

// room is what an index knows of one room.
type room struct {
	name string
	// ids are those of messages that can be read, oldest first.
	ids []store.ID
	// known is how far ids are all messages that the stream has.
	known knowledge
	// unseen bounds the messages that are not in ids: none is newer. It is not
	// used for a room that is complete.
	unseen store.ID
	// stored is how many messages the stream had when they were counted. It is
	// only used for a room that is counted.
	stored int
	lost   loss
	idle   *idle.Place // in index.idle
}

// knowledge is how much an index knows of a room:
//
//   - complete, when the room's first message is published, when older ids have been
//     loaded, when newer ones are as many as readers can see, or when the messages that
//     the index did not know were forgotten;
//   - counted, when the index begins, or begins anew, with a room that has messages;
//   - uncounted, when ids are discarded to free memory, or when the stream's limits
//     change for a room that is counted.
type knowledge int

const (
	// complete: ids are all messages that the stream has of the room.
	complete knowledge = iota
	// counted: the stream may have older messages than ids. It had at least
	// room.stored of them. If that is less than it keeps of a room, the room has
	// lost nothing unnoticed.
	counted
	// uncounted: the stream may have older messages than ids, and the room may
	// have lost some unnoticed.
	uncounted
)

// loss is what a room has lost to retention.
type loss struct {
	// id is that of the newest message that was removed, or the zero ID.
	id store.ID
	// guessed is set if that id is unknown, and id is only the one before the
	// oldest message that is left.
	guessed bool
}

// after returns the index of the oldest id newer than id.
func (r *room) after(id store.ID) int {
	return sort.Search(len(r.ids), func(i int) bool { return r.ids[i].After(id) })
}

// makeRoom drops rooms until there is a place for the room called name. The caller
// must call release when the message is stored.
func (s *Store) makeRoom(ctx context.Context, name string) (release func(), err error) {
	if s.hasPlaceFor(name) {
		return func() {}, nil
	}
	if release, err = s.acquire(ctx, s.creating, exclusive); err != nil {
		return nil, err
	}
	for !s.hasPlaceFor(name) {
		victim, err := s.idlest()
		if err == nil {
			err = s.drop(ctx, victim)
		}
		if err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// hasPlaceFor reports whether the room exists or there may be another one. If the
// node cannot publish, it reports true: publishing returns the error.
func (s *Store) hasPlaceFor(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.rooms[name] != nil || len(s.index.rooms) < s.limits.Rooms || s.check() != nil
}

// idlest returns the room to drop, see [idle.Order.Longest].
func (s *Store) idlest() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, found := s.index.idle.Longest(func(r *room) idle.Verdict {
		if s.hub.Reading(r.name) {
			return idle.Keep
		}
		return idle.Drop
	})
	if !found {
		return "", store.ErrTooManyRooms
	}
	return r.name, nil
}

// drop removes a room with its messages for all nodes, to make place for another.
func (s *Store) drop(ctx context.Context, room string) error {
	if err := s.usableNow(); err != nil {
		return err
	}
	last, through, err := s.lastIn(ctx, room)
	if err != nil {
		return err
	}
	if through.IsZero() {
		s.vacate(room)
		return nil
	}
	return s.purge(ctx, last, change{Room: room, Forgotten: through.String(), Dropped: true})
}

// lastIn returns the sequence and the id of a room's last message in the stream, or
// 0 and the zero ID if there is none.
func (s *Store) lastIn(ctx context.Context, room string) (seq uint64, id store.ID, err error) {
	last, err := s.get(ctx, getRequest{LastFor: s.subjects.room(room)})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, store.ID{}, err
	}
	if last != nil {
		id = store.ID{N: last.seq}
		if at, err := last.id(); err == nil {
			id = at
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	// this node has delivered it with another id if the clocks of servers have differed;
	// and NATS 2.9 may know an earlier one or none after deletions
	if ids := s.index.idsOf(room); len(ids) > 0 && ids[len(ids)-1].N >= id.N {
		id = ids[len(ids)-1]
	}
	return id.N, id, nil
}

// vacate removes a room without messages in the stream from the index.
func (s *Store) vacate(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.dropEmpty(room)
}

// purge publishes a change, and then removes the room's messages up to a sequence from
// the stream, with their revisions.
func (s *Store) purge(ctx context.Context, last uint64, c change) error {
	s.mu.RLock()
	left := s.index.changes.latecomers(c.Room, last)
	s.mu.RUnlock()
	if err := s.publishChange(ctx, c); err != nil {
		return err
	}
	if err := s.purgeSubject(ctx, s.subjects.room(c.Room), last+1); err != nil {
		return err
	}
	if err := s.purgeSubject(ctx, s.subjects.revisionsOf(c.Room), last+1); err != nil {
		return err
	}
	if len(left) > 0 {
		go s.eraseAll(left)
	}
	return nil
}

// purgeSubject removes the entries of a subject before a sequence from the stream.
func (s *Store) purgeSubject(ctx context.Context, subject string, before uint64) error {
	stream, err := s.handle(ctx)
	if err != nil {
		return s.streamError(err)
	}
	err = callErr(ctx, s, func() error {
		return stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before))
	})
	if err != nil {
		return fmt.Errorf("purging stream %s: %w", s.config.stream, err)
	}
	return nil
}
