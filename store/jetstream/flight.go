package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// flight is a message on its way into the stream and back. It has landed when
// it came back and was delivered, or when it has failed.
type flight struct {
	key    string // by which the stream knows repeats of it
	msg    *nats.Msg
	landed chan struct{}

	// set before it lands

	message *store.Message // nil for a change
	repeat  bool           // the message was in the stream before
	err     error
}

// depart registers a flight. The lock is held.
func (s *Store) depart(key, subject string, data []byte) *flight {
	f := &flight{
		key:    key,
		msg:    newMsg(subject, key, s.latest.Ms, data),
		landed: make(chan struct{}),
	}
	s.flights[key] = f
	return f
}

// land ends a flight, if it has not ended.
func (s *Store) land(f *flight, m *store.Message, repeat bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[f.key] == f {
		delete(s.flights, f.key)
		f.message, f.repeat, f.err = m, repeat, err
		close(f.landed)
	}
}

func (f *flight) hasLanded() bool {
	select {
	case <-f.landed:
		return true
	default:
		return false
	}
}

// wait returns when the flight has landed, and why it failed.
func (s *Store) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.landed:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return store.ErrClosed
	}
}

// randomKey is the key of a message that nobody repeats but the store itself.
func randomKey() string { return "-" + nuid.Next() }

// send publishes a message until the stream has it. A repeat of what the
// stream had before lands here; other flights land when they come back.
func (s *Store) send(ctx context.Context, f *flight) error {
	return s.retry(ctx, f.landed, func() error {
		ack, err := s.publish(ctx, f.msg)
		if err != nil || !ack.Duplicate {
			return err
		}
		return s.landRepeat(ctx, f, ack.Sequence)
	})
}

// retry tries until that succeeds, fails for good, is superfluous, or time is
// up.
func (s *Store) retry(ctx context.Context, done <-chan struct{}, try func() error) error {
	for {
		err := try()
		if err == nil || !retryable(err) {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(50*time.Millisecond + rand.N(100*time.Millisecond)):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-s.ctx.Done():
			return store.ErrClosed
		}
	}
}

// landRepeat finds what the stream has had under the flight's key since seq.
func (s *Store) landRepeat(ctx context.Context, f *flight, seq uint64) error {
	if err := s.arrived(ctx, seq); err != nil {
		return err
	}
	if f.hasLanded() {
		return nil
	}
	s.mu.RLock()
	first := s.nonces.find(f.key, time.Now())
	latest := s.latest
	s.mu.RUnlock()
	if first == nil {
		room, _ := s.subjects.roomOf(f.msg.Subject)
		id := store.ID{Ms: latest.Ms, N: seq}
		data := f.msg.Data
		e, err := s.get(ctx, getRequest{Seq: seq})
		switch {
		case err == nil:
			if id, err = e.id(); err != nil {
				return err
			}
			data = e.data
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		// if it is gone, what the repeat says is all that is known of it
		draft, err := decodeDraft(data)
		if err != nil {
			return err
		}
		first = store.NewMessage(id, room, draft)
	}
	s.land(f, first, true, nil)
	return nil
}

// awaitFlights lets messages under way come to an end.
func (s *Store) awaitFlights() {
	ended := make(chan struct{})
	go func() {
		s.underway.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(requestTimeout):
	}
}

// arrival is somebody who waits until the stream was read up to a sequence.
type arrival struct {
	seq  uint64
	come chan struct{}
}

// arrived returns when the stream was read up to a sequence.
func (s *Store) arrived(ctx context.Context, seq uint64) error {
	s.mu.Lock()
	if s.position >= seq {
		s.mu.Unlock()
		return nil
	}
	a := arrival{seq, make(chan struct{})}
	s.arrivals = append(s.arrivals, a)
	s.mu.Unlock()
	var err error
	select {
	case <-a.come:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.ctx.Done():
		err = store.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals = slices.DeleteFunc(s.arrivals, func(other arrival) bool { return other.come == a.come })
	return err
}

// welcome wakes those who wait for what was read. The lock is held.
func (s *Store) welcome() {
	rest := s.arrivals[:0]
	for _, a := range s.arrivals {
		if a.seq <= s.position {
			close(a.come)
		} else {
			rest = append(rest, a)
		}
	}
	clear(s.arrivals[len(rest):])
	s.arrivals = rest
}

// stopWaiting wakes all who wait for what will not come. The lock is held.
func (s *Store) stopWaiting() {
	for _, a := range s.arrivals {
		close(a.come)
	}
	s.arrivals = nil
}
