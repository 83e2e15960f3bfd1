package jetstream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxRecent is how many of the newest ids Witness knows without asking NATS.
const maxRecent = 16 << 10

// recentIDs holds the newest ids that were read from the stream, by their sequences.
// The zero recentIDs is empty.
type recentIDs struct{ ids map[uint64]store.ID }

func (r *recentIDs) add(id store.ID) {
	if r.ids == nil {
		r.ids = make(map[uint64]store.ID)
	}
	delete(r.ids, id.N-maxRecent)
	r.ids[id.N] = id
}

// at returns the id with a sequence, if it is among them.
func (r *recentIDs) at(seq uint64) (store.ID, bool) {
	id, found := r.ids[seq]
	return id, found
}

// Witness implements [store.Witness]. An id between two messages may be the start of
// a [store.Tail].
func (s *Store) Witness(ctx context.Context, id store.ID) (bool, error) {
	s.mu.RLock()
	err, position, latest := s.readable(), s.position, s.latest
	seen, found := s.recent.at(id.N)
	s.mu.RUnlock()
	switch {
	case err != nil:
		return false, err
	case id.IsZero(), id.N == 0 && id == latest:
		return true, nil // before the first message
	case found && (seen == id || seen.After(id)):
		return seen == id, nil // this works without a connection too
	}
	if id.N > position {
		// another node may be ahead of this one
		if given, err := s.givenOut(ctx, id.N); err != nil || !given {
			return false, err
		}
		if err := s.waitFor(ctx, id.N); err != nil {
			return false, err
		}
	}
	// compare with the message itself, or with the next one that is left
	next, at, err := s.entryFrom(ctx, max(id.N, 1))
	if err == nil && next.seq == id.N {
		if at.Ms == id.Ms || s.knows(next, id) {
			return true, nil
		}
		if at.After(id) {
			return false, nil
		}
		// id is newer than this message: it may be the start of a tail after it
		if _, at, err = s.entryFrom(ctx, id.N+1); errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.mu.RLock()
		defer s.mu.RUnlock()
		return !id.After(s.latest), nil
	case err != nil:
		return false, err
	case id.N == 0: // it is before the first message, or from another log
		return at == id.Next(), nil
	}
	return id.Ms <= at.Ms, nil
}

// entryFrom returns the first entry at seq or later that the stream has, and its id.
func (s *Store) entryFrom(ctx context.Context, seq uint64) (*entry, store.ID, error) {
	e, err := s.get(ctx, getRequest{Seq: seq, NextFor: ">"})
	if err != nil {
		return nil, store.ID{}, err
	}
	id, err := e.id()
	if err != nil {
		id = store.ID{Ms: e.time.UnixMilli(), N: e.seq}
	}
	return e, id, nil
}

// givenOut reports whether the stream has assigned a sequence. It waits for up to a
// second, because a new leader may still be replaying its log.
func (s *Store) givenOut(ctx context.Context, seq uint64) (bool, error) {
	for begin := time.Now(); ; {
		last, err := s.last(ctx)
		if err != nil || seq <= last {
			return err == nil, err
		}
		if time.Since(begin) > time.Second {
			return false, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return false, ctx.Err()
		case <-s.ctx.Done():
			return false, store.ErrClosed
		}
	}
}

// knows reports whether this node has delivered an entry with an id.
func (s *Store) knows(e *entry, id store.ID) bool {
	room, ok := s.subjects.roomOf(e.subject)
	if !ok {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, found := slices.BinarySearchFunc(s.index.idsOf(room), id, store.ID.Compare)
	return found
}
