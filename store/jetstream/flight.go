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

	receipt store.Receipt // none for a change
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
func (s *Store) land(f *flight, receipt store.Receipt, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[f.key] == f {
		delete(s.flights, f.key)
		f.receipt, f.err = receipt, err
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
	s.mu.RUnlock()
	if !first.Repeat {
		var err error
		if first, err = s.receiptAt(ctx, seq, f); err != nil {
			return err
		}
	}
	s.land(f, first, nil)
	return nil
}

// receiptAt returns the receipt of a message of which this node does not know
// the nonce, for a repeat of it.
func (s *Store) receiptAt(ctx context.Context, seq uint64, f *flight) (store.Receipt, error) {
	e, err := s.get(ctx, getRequest{Seq: seq})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.receiptOfGone(ctx, seq, f)
	case err != nil:
		return store.Receipt{}, err
	}
	id, err := e.id()
	if err != nil {
		return store.Receipt{}, err
	}
	room, _ := s.subjects.roomOf(f.msg.Subject)
	s.mu.RLock()
	deleted := s.wasDeleted(room, seq)
	s.mu.RUnlock()
	if deleted { // and is about to be removed
		return store.Receipt{ID: id, Repeat: true}, nil
	}
	return repeatOf(id, room, e.data)
}

// receiptOfGone is receiptAt for a message that the stream no longer has.
func (s *Store) receiptOfGone(ctx context.Context, seq uint64, f *flight) (store.Receipt, error) {
	// what is deleted is told of before it goes
	last, err := s.last(ctx)
	if err != nil {
		return store.Receipt{}, err
	}
	if err := s.arrived(ctx, last); err != nil {
		return store.Receipt{}, err
	}
	room, _ := s.subjects.roomOf(f.msg.Subject)
	s.mu.RLock()
	first := s.nonces.find(f.key, time.Now())
	id := store.ID{Ms: s.latest.Ms, N: seq}
	deleted := s.wasDeleted(room, seq) || seq <= s.nonces.unknown.N
	s.mu.RUnlock()
	switch {
	case first.Repeat:
		return first, nil
	case deleted:
		return store.Receipt{ID: id, Repeat: true}, nil
	}
	// retention has taken it, and what the repeat says is all that is known of it
	return repeatOf(id, room, f.msg.Data)
}

func repeatOf(id store.ID, room string, data []byte) (store.Receipt, error) {
	draft, err := decodeDraft(data)
	if err != nil {
		return store.Receipt{}, err
	}
	return store.Receipt{ID: id, Message: store.NewMessage(id, room, draft), Repeat: true}, nil
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
