package jetstream

import (
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// accept processes the next entry of the stream, of any kind. Entries up to
// replayUntil are not delivered, because they are older than this node's join.
func (s *Store) accept(e *entry) {
	replayed := e.seq <= s.replayUntil
	id, err := e.id()
	if err != nil {
		s.advance(e.seq) // others may publish to these subjects too
		return
	}
	if !replayed {
		// ids increase even if the clocks of servers differ
		id.Ms = max(id.Ms, s.latest.Ms)
	}
	key := e.key()
	if room, ok := s.subjects.roomOf(e.subject); ok {
		s.acceptMessage(e, room, id, key, replayed)
	} else if e.subject == s.subjects.changes() {
		s.acceptChange(e, id, key, replayed)
	} else if _, _, ok := s.subjects.messageOf(e.subject); ok {
		s.acceptRevision(e, id, key, replayed)
	} else {
		s.advance(e.seq)
	}
}

func (s *Store) acceptMessage(e *entry, room string, id store.ID, key string, replayed bool) {
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
		if s.wasDeleted(room, e.seq) { // the stream is about to remove it
			s.nonces.bury(key, id, now)
		} else {
			s.nonces.add(key, m, now)
		}
	}
	s.index.push(room, id, s.limits.Count)
	s.recent.add(id)
	s.position = e.seq
	s.latest = store.Newest(s.latest, id)
	p := s.pending[key]
	s.mu.Unlock()
	if !replayed {
		s.hub.Deliver([]*store.Message{m})
	}
	s.accepted(p, m)
}

// wasDeleted reports whether a message is known to have been deleted or forgotten.
// The caller holds the lock.
func (s *Store) wasDeleted(room string, seq uint64) bool {
	_, deleted := s.index.deleted[seq]
	return deleted || seq <= s.nonces.forgotten[room].N
}

// acceptRepeat processes a message that the stream should have rejected as a repeat.
// A stream forgets the keys of messages that it has removed.
func (s *Store) acceptRepeat(e *entry, key string, first store.Receipt) {
	s.mu.Lock()
	s.position = e.seq
	s.index.deleted[e.seq] = struct{}{}
	p := s.pending[key]
	s.mu.Unlock()
	if p != nil {
		go s.eraseAll([]uint64{e.seq})
		s.finish(p, first, nil)
	}
	s.accepted(nil, nil)
}

func (s *Store) acceptChange(e *entry, id store.ID, key string, replayed bool) {
	c, err := decodeChange(e.data)
	if err != nil || replayed { // join has applied the older ones
		s.advance(e.seq)
		return
	}
	s.mu.Lock()
	c.apply(s.index, &s.nonces, id, time.Now(), s.limits.Count)
	s.recent.add(id)
	s.position = e.seq
	s.latest = store.Newest(s.latest, id)
	p := s.pending[key]
	s.mu.Unlock()
	if message, err := store.ParseID(c.Deleted); err == nil {
		s.hub.Deleted(c.Room, message, id)
	}
	if through, err := store.ParseID(c.Forgotten); err == nil {
		at := id
		if c.Dropped {
			at = store.ID{}
		}
		s.hub.Forgotten(c.Room, through, at)
	}
	s.accepted(p, nil)
}

// accepted finishes the message of this node that was read from the stream, if it is
// one, and wakes those who wait for the position. m is nil for a change.
func (s *Store) accepted(p *pending, m *store.Message) {
	switch {
	case p != nil && m != nil:
		s.finish(p, store.Receipt{ID: m.ID, Message: m}, nil)
	case p != nil:
		s.finish(p, store.Receipt{}, nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeWaiters()
}
