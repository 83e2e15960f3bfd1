package memory

import (
	"time"
)

// sweepLater starts the timer that frees the memory of expired messages and
// nonces, unless it runs already or nothing can expire. They are hidden from
// readers before that.
func (s *Store) sweepLater() {
	if s.sweep != nil || s.closed || s.nonces.queue.Len() == 0 && !s.hollow && (s.limits.Age == 0 || len(s.rooms) == 0) {
		return
	}
	every := hollowFor
	if s.limits.Age > 0 {
		every = min(max(s.limits.Age/8, time.Second), every)
	}
	var sweep *time.Timer
	sweep = time.AfterFunc(every, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sweep == sweep && !s.closed {
			s.sweep = nil
			s.expire()
			s.sweepLater()
		}
	})
	s.sweep = sweep
}

// hollowFor is the least time for which an empty room is kept of which no deletion has
// to be told; at most it is kept for twice as long. Until then the store knows exactly
// what the room has lost; after that it assumes Store.lost. A room of which deletions have
// to be told is kept until there are too many rooms.
const hollowFor = 25 * time.Second

// expire frees what is too old, and drops rooms that have been empty for a while.
func (s *Store) expire() {
	s.nonces.expire(s.now())
	if s.limits.Age == 0 && !s.hollow {
		return
	}
	cutoff := s.limits.Cutoff(s.now())
	s.hollow = false
	for _, r := range s.rooms {
		s.change(r, func(r *room) { r.expire(cutoff) })
		switch {
		case r.log.Len() > 0 || r.revisions.Len() > 0:
		case r.hollow && !s.hub.Reading(r.name):
			s.drop(r)
		default:
			r.hollow, s.hollow = true, true
		}
	}
	if len(s.rooms) == 0 {
		s.rooms = make(map[string]*room) // because a map never shrinks
	}
}
