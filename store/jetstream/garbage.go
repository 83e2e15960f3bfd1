package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// collectEvery is about how often a node removes revisions of messages that are gone from
// the stream. All nodes do that, each at another time; nothing depends on it.
const collectEvery = 10 * time.Second

// collectGarbage removes revisions that nobody needs until the store is closed.
func (s *Store) collectGarbage() {
	checked := make(map[string]store.ID) // the newest message of each room when it was checked
	for {
		select {
		case <-time.After(collectEvery/2 + rand.N(collectEvery)):
		case <-s.ctx.Done():
			return
		}
		for _, room := range s.garbageRooms(checked) {
			ctx, cancel := context.WithTimeout(s.ctx, 2*requestTimeout)
			err := s.collect(ctx, room)
			cancel()
			if err != nil {
				s.logger.Debug("cannot remove old revisions now", zap.String("room", room), zap.Error(err))
				delete(checked, room)
				break
			}
		}
	}
}

// garbageRooms returns the rooms that may have garbage which can be removed: those that
// have got messages since they were checked, because only these make others go.
func (s *Store) garbageRooms(checked map[string]store.ID) (rooms []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.check() != nil {
		return nil
	}
	for room := range checked {
		if _, found := s.index.changes.garbage[room]; !found {
			delete(checked, room)
		}
	}
	for room := range s.index.changes.garbage {
		var newest store.ID
		if ids := s.index.idsOf(room); len(ids) > 0 {
			newest = ids[len(ids)-1]
		}
		newest = store.Newest(newest, s.index.changes.unmarked(room))
		if was, known := checked[room]; !known || was != newest {
			checked[room] = newest
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// collect removes the revisions of a room that nobody needs: those of messages that the
// stream does not have any more, and deletions of which there are too many.
func (s *Store) collect(ctx context.Context, room string) error {
	if err := s.load(ctx, room); err != nil {
		return err
	}
	if err := s.discardDeletions(ctx, room); err != nil {
		return err
	}
	first, err := s.get(ctx, getRequest{Seq: 1, NextFor: s.subjects.room(room)})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.mu.RLock()
	lost := s.index.view(room, store.ID{}, store.ID{}, store.ID{}).lost.id
	before := s.index.forgotten[room].lost.N + 1
	if first != nil {
		// a revision that is older than the first message is of one that is gone
		before = max(before, first.seq)
	}
	if needed := s.index.changes.needed(room, lost); !needed.IsZero() {
		before = min(before, needed.N)
	}
	// there may be deletions that this node has not read yet
	before = min(before, s.position+1)
	s.mu.RUnlock()
	if before <= 1 {
		return nil
	}
	if err := s.purgeSubject(ctx, s.subjects.revisionsOf(room), before); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index.changes.garbage[room].N < before {
		delete(s.index.changes.garbage, room)
	}
	return nil
}

// discardDeletions removes the oldest deletions of a room from the stream if there are
// too many, and publishes a mark that says so.
func (s *Store) discardDeletions(ctx context.Context, room string) error {
	s.mu.Lock()
	unknown := s.index.changes.unmarked(room)
	if unknown.IsZero() {
		s.mu.Unlock()
		return nil
	}
	mark := &revision{room: room, lost: unknown}
	key := randomKey()
	p := s.addPendingMsg(key, mark.msg(s.subjects, key, s.latest.Ms, s.rollups.Load()))
	s.mu.Unlock()
	defer s.finish(p, store.Receipt{}, errAbandoned)
	if err := s.send(ctx, p); err != nil {
		return err
	}
	if err := s.await(ctx, p); err != nil {
		return err
	}
	entries, _, err := s.readRevisions(ctx, room)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(entries) {
		r, err := decodeHead(s.subjects, e)
		if err != nil || r.kind != store.Delete || e.seq > unknown.N {
			continue
		}
		if err := s.erase(ctx, e.seq); err != nil {
			return err
		}
	}
	return nil
}
