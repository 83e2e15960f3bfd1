package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// finishRepeat finishes a message that is a repeat of the one at seq, with the receipt
// of that one.
func (s *Store) finishRepeat(ctx context.Context, p *pending, seq uint64) error {
	if err := s.waitFor(ctx, seq); err != nil {
		return err
	}
	if p.finished() {
		return nil
	}
	s.mu.RLock()
	first := s.nonces.find(p.key, time.Now())
	s.mu.RUnlock()
	if !first.Repeat {
		var err error
		if first, err = s.receiptAt(ctx, seq, p); err != nil {
			return err
		}
	}
	s.finish(p, first, nil)
	return nil
}

// receiptAt returns the receipt for a repeat of the message at seq, whose nonce this
// node does not know.
func (s *Store) receiptAt(ctx context.Context, seq uint64, p *pending) (store.Receipt, error) {
	e, err := s.get(ctx, getRequest{Seq: seq})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.receiptOfGone(ctx, seq, p)
	case err != nil:
		return store.Receipt{}, err
	}
	id, err := e.id()
	if err != nil {
		return store.Receipt{}, err
	}
	room, _ := s.subjects.roomOf(p.msg.Subject)
	s.mu.RLock()
	deleted := s.wasDeleted(room, seq)
	s.mu.RUnlock()
	if deleted { // the stream is about to remove it
		return store.Receipt{ID: id, Repeat: true}, nil
	}
	return repeatOf(id, room, e.data)
}

// receiptOfGone is receiptAt for a message that the stream no longer has.
func (s *Store) receiptOfGone(ctx context.Context, seq uint64, p *pending) (store.Receipt, error) {
	// a message is deleted only after the change that says so was published, so
	// read that first
	last, err := s.last(ctx)
	if err != nil {
		return store.Receipt{}, err
	}
	if err := s.waitFor(ctx, last); err != nil {
		return store.Receipt{}, err
	}
	room, _ := s.subjects.roomOf(p.msg.Subject)
	s.mu.RLock()
	first := s.nonces.find(p.key, time.Now())
	id := store.ID{Ms: s.latest.Ms, N: seq}
	deleted := s.wasDeleted(room, seq) || seq <= s.nonces.unknown.N
	s.mu.RUnlock()
	switch {
	case first.Repeat:
		return first, nil
	case deleted:
		return store.Receipt{ID: id, Repeat: true}, nil
	}
	// retention has removed it: the draft of the repeat is all that is left
	return repeatOf(id, room, p.msg.Data)
}

// repeatOf returns the receipt for a repeat of a message, from its encoded draft.
func repeatOf(id store.ID, room string, data []byte) (store.Receipt, error) {
	draft, err := decodeDraft(data)
	if err != nil {
		return store.Receipt{}, err
	}
	return store.Receipt{ID: id, Message: store.NewMessage(id, room, draft), Repeat: true}, nil
}
