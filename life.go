package ssechat

import (
	"context"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Began implements [store.Peer].
func (b *broker) Began(latest store.ID) {
	// first, or one who looks now would read the log from its beginning
	b.began.Store(&latest)
	b.restart(latest)
	b.wheel.each((*subscriber).signal)
}

// Missed implements [store.Peer].
func (b *broker) Missed(latest store.ID, rollback bool) {
	b.restart(latest)
	reason := gapSlow
	if rollback {
		reason = gapRollback
	}
	b.wheel.each(func(s *subscriber) {
		s.missed.Store(&reason)
		s.signal()
	})
}

// Reached implements [store.Peer].
func (b *broker) Reached(err error) { b.health.wrote(err) }

// restart empties all rings, because they may not hold what the log now does.
func (b *broker) restart(latest store.ID) {
	b.pages.forget()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rooms {
		b.ringBytes.Add(r.forget(latest))
	}
	b.advance(latest)
}

// awake sets the cursor of a reader that came before the log was known: it
// reads what came since.
func (s *subscriber) awake() {
	if !s.cursor.IsZero() || s.deep != nil {
		return
	}
	if began := s.broker.began.Load(); began != nil {
		s.cursor = *began
	}
}

// tellMissed tells the reader that messages may be missing, and goes on with
// what the store has.
func (s *subscriber) tellMissed(ctx context.Context, out *batch) error {
	reason := s.missed.Swap(nil)
	if reason == nil || s.start != nil { // one that begins is judged by its id
		return nil
	}
	deep := s.deep
	s.deep = &deepRead{more: true}
	if _, err := s.readPage(ctx); err != nil {
		s.deep = deep
		s.missed.CompareAndSwap(nil, reason)
		return err
	}
	s.tellGap(out, *reason)
	return nil
}

// judge tells what the id is worth that the reader came back with.
func (s *subscriber) judge(ctx context.Context, lastEventID string) (store.ID, gapReason, error) {
	witness, ok := s.broker.store.(store.Witness)
	if !ok {
		id, gap := judge(lastEventID, s.broker.store.State())
		return id, gap, nil
	}
	id, err := store.ParseID(lastEventID)
	if err != nil {
		return store.ID{}, gapUnknown, nil //nolint:nilerr // a client's mistake is a gap
	}
	known, err := witness.Witness(ctx, id)
	switch {
	case err != nil:
		return store.ID{}, gapNone, err
	case !known:
		return store.ID{}, gapRollback, nil
	}
	return id, gapNone, nil
}
