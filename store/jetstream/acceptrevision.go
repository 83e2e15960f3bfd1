package jetstream

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// acceptRevision processes a revision, whose own id is at.
func (s *Store) acceptRevision(e *entry, at store.ID, key string, replayed bool) {
	r, err := decodeRevision(s.subjects, e, at)
	if err != nil {
		s.logger.Warn("ignoring a change in the stream", zap.Uint64("sequence", e.seq), zap.Error(err))
		s.advance(e.seq)
		return
	}
	now := time.Now()
	s.mu.Lock()
	tell := s.apply(r, at, key, now)
	s.recent.add(at)
	s.position = e.seq
	s.latest = store.Newest(s.latest, at)
	own := make([]*pending, 0, 1)
	for _, made := range append(slices.Clip(r.made), key) {
		if p := s.pending[made]; p != nil {
			own = append(own, p)
		}
	}
	s.mu.Unlock()
	receipt := store.Receipt{ID: r.id}
	if tell.message != nil && !replayed {
		s.hub.Changed(tell.message, tell.delta)
		receipt.Message = tell.message
	}
	if tell.deleted && !replayed {
		s.hub.Deleted(r.room, r.id, at)
	}
	// one of them may be in the stream no longer: this revision has replaced it
	for _, p := range own {
		s.finish(p, receipt, nil)
	}
	s.accepted(nil, nil)
}

// news is what the hub is told of a revision.
type news struct {
	message, delta *store.Message
	deleted        bool
}

// apply applies a revision to what this node knows, and returns what is new. The caller
// holds the lock.
func (s *Store) apply(r *revision, at store.ID, key string, now time.Time) (tell news) {
	if r.isMark() {
		s.index.changes.mark(r.room, r.lost, at)
		return news{}
	}
	for _, made := range append(slices.Clip(r.made), key) {
		s.nonces.addMade(made, at, now)
	}
	r.id = s.exact(r.room, r.id)
	if _, deleted := s.index.deleted[r.id.N]; deleted || r.kind != store.Delete && s.index.isGone(r.room, r.id.N) {
		return news{}
	}
	if r.kind == store.Delete {
		s.index.delete(r.room, r.id, at, s.limits.Count)
		s.nonces.bury(r.nonce, r.id, now)
		s.fresh.remove(r.id)
		return news{deleted: true}
	}
	before := s.index.changes.of(r.room, r.id)
	tell.message = r.message()
	tell.delta = tell.message
	if r.was == 0 || r.was == before.N || r.was <= s.replayUntil {
		tell.delta = r.delta()
	} else { // this node has never read the revision that this one has replaced
		tell.delta = store.NewWhole(at, tell.message)
	}
	s.index.changes.change(r.room, r.id, at)
	s.fresh.add(tell.message, append(slices.Clip(r.made), key))
	if r.post.Nonce != "" {
		s.nonces.replace(nonceKey(r.room, r.post.Owner, r.post.Nonce), tell.message)
	}
	return tell
}

// exact returns the id by which this node has delivered a message. It differs from that
// in other nodes if the clocks of servers have differed. The caller holds the lock.
func (s *Store) exact(room string, id store.ID) store.ID {
	if seen, found := s.recent.at(id.N); found {
		return seen
	}
	ids := s.index.idsOf(room)
	i, found := slices.BinarySearchFunc(ids, id.N, func(id store.ID, seq uint64) int {
		switch {
		case id.N < seq:
			return -1
		case id.N > seq:
			return 1
		}
		return 0
	})
	if found {
		return ids[i]
	}
	return id
}
