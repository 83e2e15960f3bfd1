package jetstream

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Append implements [store.Store]. On servers before 2.12 a batch is stored
// message by message: in order, but not all or none, and messages of other
// nodes may come in between.
func (s *Store) Append(ctx context.Context, room string, drafts []store.Draft) ([]store.Receipt, error) {
	unlock, err := s.makeRoom(ctx, room)
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, err := s.plan(strings.Clone(room), drafts)
	if err != nil {
		return nil, err
	}
	defer s.underway.Done()
	defer func() {
		for _, f := range p.own {
			s.land(f, store.Receipt{}, errAbandoned)
		}
	}()
	if err := s.sendAll(ctx, p.own); err != nil {
		return nil, err
	}
	for i, f := range p.flights {
		if f == nil {
			continue
		}
		if err := s.wait(ctx, f); err != nil {
			return nil, err
		}
		repeat := f.receipt.Repeat || p.receipts[i].Repeat
		p.receipts[i] = f.receipt
		p.receipts[i].Repeat = repeat
	}
	return p.receipts, nil
}

// errAbandoned is for those who wait for a message that somebody else has
// given up.
var errAbandoned = errors.New("the first message under this nonce is not known to be stored")

// plan is what has to be done to store drafts.
type plan struct {
	receipts []store.Receipt // of what is known already
	flights  []*flight       // whose landing makes the others
	own      []*flight       // those that have to be sent
}

// plan looks what is to be sent, and has it counted in s.underway.
func (s *Store) plan(room string, drafts []store.Draft) (*plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &plan{make([]store.Receipt, len(drafts)), make([]*flight, len(drafts)), make([]*flight, 0, len(drafts))}
	subject, now := s.subjects.room(room), time.Now()
	for i, draft := range drafts {
		key := randomKey()
		if draft.Nonce != "" {
			key = nonceKey(room, draft.Owner, draft.Nonce)
			if first := s.nonces.find(key, now); first.Repeat {
				p.receipts[i] = first
				continue
			}
			if f := s.flights[key]; f != nil {
				p.flights[i], p.receipts[i].Repeat = f, true
				continue
			}
		}
		f := s.depart(key, subject, encodeDraft(draft))
		p.flights[i] = f
		p.own = append(p.own, f)
	}
	s.underway.Add(1)
	return p, nil
}

// sendAll sends messages of one room, all or none if the server can do that.
func (s *Store) sendAll(ctx context.Context, flights []*flight) error {
	s.mu.RLock()
	whole := s.atomic
	s.mu.RUnlock()
	if whole && len(flights) > 1 {
		return s.sendBatch(ctx, flights)
	}
	if !whole {
		if err := s.batching.enter(ctx, s.ctx.Done(), len(flights) > 1); err != nil {
			return err
		}
		defer s.batching.leave()
	}
	for _, f := range flights {
		if err := s.send(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch sends messages until the stream has them all. Those that it had
// before are left out.
func (s *Store) sendBatch(ctx context.Context, flights []*flight) error {
	err := s.retry(ctx, nil, func() error { return s.publishBatch(ctx, flights) })
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || api.ErrorCode != batchRepeats {
		return err
	}
	// either an attempt that seemed to fail did not, or another node was faster
	last, err := s.last(ctx)
	if err != nil {
		return err
	}
	if err := s.arrived(ctx, last); err != nil {
		return err
	}
	rest := make([]*flight, 0, len(flights))
	for _, f := range flights {
		s.mu.RLock()
		first := s.nonces.find(f.key, time.Now())
		s.mu.RUnlock()
		if first.Repeat {
			s.land(f, first, nil)
		}
		if !f.hasLanded() {
			rest = append(rest, f)
		}
	}
	switch len(rest) {
	case 0:
		return nil
	case 1:
		return s.send(ctx, rest[0])
	case len(flights):
		return api // of a time that this node has not seen
	default:
		return s.sendBatch(ctx, rest)
	}
}

// Find implements [store.Store]. A node knows the nonces of what it has seen,
// and of the end of the stream that it read when it started.
func (s *Store) Find(_ context.Context, room, owner, nonce string) (store.Receipt, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Receipt{}, store.ErrClosed
	}
	return s.nonces.find(nonceKey(room, owner, nonce), time.Now()), nil
}

// makeRoom sees to it that the stream has no more rooms than it may have. The
// caller has to call unlock when the message is stored.
func (s *Store) makeRoom(ctx context.Context, name string) (unlock func(), err error) {
	if s.hasPlaceFor(name) {
		return func() {}, nil
	}
	if err := s.creating.enter(ctx, s.ctx.Done(), true); err != nil {
		return nil, err
	}
	for !s.hasPlaceFor(name) {
		victim, err := s.idlest()
		if err == nil {
			err = s.drop(ctx, victim)
		}
		if err != nil {
			s.creating.leave()
			return nil, err
		}
	}
	return s.creating.leave, nil
}

func (s *Store) hasPlaceFor(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.index.rooms[name] != nil || len(s.index.rooms) < s.limits.Rooms || s.check() != nil
}

// idlest returns the room that was idle longest among those without readers.
func (s *Store) idlest() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// a room that is being read is put aside, so that a stream full of them
	// does not cost a walk over all for each message
	for range min(len(s.index.rooms), 256) {
		r := s.index.idle.Back().Value.(*room)
		if !s.hub.Reading(r.name) {
			return r.name, nil
		}
		s.index.idle.MoveToFront(r.idle)
	}
	return "", store.ErrTooManyRooms
}
