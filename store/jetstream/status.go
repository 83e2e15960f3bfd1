package jetstream

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// phase is how far a node is in following its stream:
//
//	joining → following ⇄ stalled
//
// and closed after each of them.
type phase int

const (
	// joining: the node has not read the stream up to its end yet. It can
	// neither publish nor read.
	joining phase = iota
	// following: the node is up to date. It can publish and read.
	following
	// stalled: the node was up to date, and cannot follow the stream now. It
	// can read what it knows, but not publish.
	stalled
	// closed: [Store.Close] was called.
	closed
)

// status is a node's phase. The zero status is joining.
type status struct {
	phase phase
	why   error // why the node is not following; set if it is joining or stalled
}

// after returns the status that comes after st when the node is up to date, or when
// an attempt to follow the stream has ended with err.
func (st status) after(err error) status {
	switch {
	case st.phase == closed:
		return st
	case err == nil:
		return status{phase: following}
	case st.phase == joining:
		return status{joining, err}
	default:
		return status{stalled, err}
	}
}

var (
	errAway      = errors.New("NATS is not connected")
	errReplaying = errors.New("the end of the stream is still being read")
)

// setStatus updates the status, see status.after. It tells the hub when the node
// begins to follow. Only run calls it, and open before that.
func (s *Store) setStatus(err error) {
	s.mu.Lock()
	if err == nil && s.position < s.replayUntil {
		err = errReplaying
	}
	before := s.status
	s.status = before.after(err)
	now, latest := s.status, s.latest
	s.mu.Unlock()
	if now.phase != following || before.phase == following {
		return
	}
	s.logger.Info("following the stream", zap.String("stream", s.config.stream), zap.Stringer("latest", latest))
	peer, ok := s.hub.(store.Peer)
	if before.phase == joining {
		close(s.usable)
		if ok {
			peer.Began(latest)
		}
	}
	if ok {
		peer.Reached(nil)
	}
}

// check returns why the node cannot publish, or nil. The caller holds the lock.
func (s *Store) check() error {
	switch {
	case s.status.phase == closed:
		return store.ErrClosed
	case s.status.phase != following:
		return s.status.why
	case s.away.Load():
		return s.awayBecause()
	}
	return nil
}

// usableNow is check for callers that do not hold the lock.
func (s *Store) usableNow() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.check()
}

// readable returns why the node cannot even read what it knows, or nil. The caller
// holds the lock.
func (s *Store) readable() error {
	switch s.status.phase {
	case closed:
		return store.ErrClosed
	case joining:
		return s.status.why
	case following, stalled:
	}
	return nil
}

// awayBecause returns errAway, with the reason if it is known. The caller holds the
// lock.
func (s *Store) awayBecause() error {
	if s.refused != nil {
		return fmt.Errorf("%w: %w", errAway, s.refused)
	}
	return errAway
}

// whyAway is awayBecause for callers that do not hold the lock.
func (s *Store) whyAway() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.awayBecause()
}
