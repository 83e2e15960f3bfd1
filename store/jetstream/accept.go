package jetstream

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// accept takes the next entry of the stream, whatever it is. What is no newer
// than warmUntil was delivered before this node joined.
func (s *Store) accept(e *entry) {
	warm := e.seq <= s.warmUntil
	id, err := e.id()
	if err != nil {
		s.advance(e.seq) // of somebody else, who may publish here
		return
	}
	if !warm {
		// the order does not depend on clocks
		id.Ms = max(id.Ms, s.latest.Ms)
	}
	key := e.key()
	if room, ok := s.subjects.roomOf(e.subject); ok {
		s.acceptMessage(e, room, id, key, warm)
	} else if e.subject == s.subjects.changes() {
		s.acceptChange(e, id, key, warm)
	} else {
		s.advance(e.seq)
	}
}

func (s *Store) acceptMessage(e *entry, room string, id store.ID, key string, warm bool) {
	draft, err := decodeDraft(e.data)
	if err != nil {
		s.logger.Warn("ignoring a message in the stream", zap.Uint64("sequence", e.seq), zap.Error(err))
		s.advance(e.seq)
		return
	}
	m := store.NewMessage(id, room, draft)
	now := time.Now()
	s.mu.Lock()
	if draft.Nonce != "" {
		if first := s.nonces.find(key, now); first.Repeat {
			s.mu.Unlock()
			s.acceptRepeat(e, key, first)
			return
		}
		if s.wasDeleted(room, e.seq) { // and is about to be removed
			s.nonces.bury(key, id, now)
		} else {
			s.nonces.add(key, m, now)
		}
	}
	s.index.push(room, id, s.limits.Count)
	s.recent.add(id)
	s.position = e.seq
	s.latest = store.Newest(s.latest, id)
	f := s.flights[key]
	s.mu.Unlock()
	if !warm {
		s.hub.Deliver([]*store.Message{m})
	}
	s.landed(f, m)
}

// wasDeleted reports whether a message is known to have been deleted or
// forgotten. The lock is held.
func (s *Store) wasDeleted(room string, seq uint64) bool {
	_, deleted := s.index.deleted[seq]
	return deleted || seq <= s.nonces.forgotten[room].N
}

// acceptRepeat takes a message that the stream should have known as a repeat.
// It may have forgotten the first one with what it has removed.
func (s *Store) acceptRepeat(e *entry, key string, first store.Receipt) {
	s.mu.Lock()
	s.position = e.seq
	s.index.deleted[e.seq] = struct{}{}
	f := s.flights[key]
	s.mu.Unlock()
	if f != nil {
		go s.erase(e.seq)
		s.land(f, first, nil)
	}
	s.landed(nil, nil)
}

// erase removes a message from the stream of which nobody was told.
func (s *Store) erase(seq uint64) {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	if stream, err := s.handle(ctx); err == nil {
		_ = stream.DeleteMsg(ctx, seq)
	}
}

func (s *Store) acceptChange(e *entry, id store.ID, key string, warm bool) {
	c, err := decodeChange(e.data)
	if err != nil || warm { // join has read the older ones
		s.advance(e.seq)
		return
	}
	s.mu.Lock()
	c.apply(s.index, &s.nonces, id, time.Now())
	s.position = e.seq
	s.latest = store.Newest(s.latest, id)
	f := s.flights[key]
	s.mu.Unlock()
	if id, err := store.ParseID(c.Deleted); err == nil {
		s.hub.Deleted(c.Room, id)
	}
	if id, err := store.ParseID(c.Forgotten); err == nil {
		s.hub.Forgotten(c.Room, id)
	}
	s.landed(f, nil)
}

// landed ends a flight whose message has come back, and wakes those who wait
// for what was read.
func (s *Store) landed(f *flight, m *store.Message) {
	if f != nil && m != nil {
		s.land(f, store.Receipt{ID: m.ID, Message: m}, nil)
	} else if f != nil {
		s.land(f, store.Receipt{}, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.welcome()
}

// advance moves on to a sequence where there is nothing to deliver.
func (s *Store) advance(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = max(s.position, seq)
	s.welcome()
}
