package jetstream

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Append implements [store.Store]. On servers before 2.12, drafts are published one
// by one: they are stored in order, but perhaps not all of them, and there may be
// messages of other nodes between them.
func (s *Store) Append(ctx context.Context, room string, drafts []store.Draft) ([]store.Receipt, error) {
	release, err := s.makeRoom(ctx, room)
	if err != nil {
		return nil, err
	}
	defer release()
	todo, err := s.plan(strings.Clone(room), drafts)
	if err != nil {
		return nil, err
	}
	defer s.appends.Done()
	defer func() {
		for _, p := range todo.own {
			s.finish(p, store.Receipt{}, errAbandoned)
		}
	}()
	if err := s.sendAll(ctx, todo.own); err != nil {
		return nil, err
	}
	for i, p := range todo.messages {
		if p == nil {
			continue
		}
		if err := s.await(ctx, p); err != nil {
			return nil, err
		}
		repeat := p.receipt.Repeat || todo.receipts[i].Repeat
		todo.receipts[i] = p.receipt
		todo.receipts[i].Repeat = repeat
	}
	return todo.receipts, nil
}

// errAbandoned is returned to callers that wait for a message of another caller,
// which has given up.
var errAbandoned = errors.New("the first message under this nonce is not known to be stored")

// plan is how drafts are stored. receipts and messages have an element for each.
type plan struct {
	receipts []store.Receipt // of repeats that are known already
	messages []*pending      // whose outcome is the receipt, or nil
	own      []*pending      // the messages to send
}

// plan decides what to send, and adds one to s.appends.
func (s *Store) plan(room string, drafts []store.Draft) (*plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(); err != nil {
		return nil, err
	}
	todo := &plan{make([]store.Receipt, len(drafts)), make([]*pending, len(drafts)), make([]*pending, 0, len(drafts))}
	subject, now := s.subjects.room(room), time.Now()
	for i, draft := range drafts {
		key := randomKey()
		if draft.Nonce != "" {
			key = nonceKey(room, draft.Owner, draft.Nonce)
			if first := s.nonces.find(key, now); first.Repeat {
				todo.receipts[i] = first
				continue
			}
			if p := s.pending[key]; p != nil {
				todo.messages[i], todo.receipts[i].Repeat = p, true
				continue
			}
		}
		p := s.addPending(key, subject, encodeDraft(draft))
		todo.messages[i] = p
		todo.own = append(todo.own, p)
	}
	s.appends.Add(1)
	return todo, nil
}

// sendAll publishes messages of one room, all or none if the server supports that.
func (s *Store) sendAll(ctx context.Context, messages []*pending) error {
	s.mu.RLock()
	whole := s.atomic
	s.mu.RUnlock()
	if whole && len(messages) > 1 {
		return s.sendBatch(ctx, messages)
	}
	if !whole {
		// messages of this node do not come between those of a batch
		n := int64(shared)
		if len(messages) > 1 {
			n = exclusive
		}
		release, err := s.acquire(ctx, s.batching, n)
		if err != nil {
			return err
		}
		defer release()
	}
	for _, p := range messages {
		if err := s.send(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch publishes messages, all or none, and retries until the stream has them.
// It leaves out those that the stream had before.
func (s *Store) sendBatch(ctx context.Context, messages []*pending) error {
	err := s.retry(ctx, nil, func() error { return s.publishBatch(ctx, messages) })
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || api.ErrorCode != batchRepeats {
		return err
	}
	// an attempt has succeeded without an answer, or another node was faster
	last, err := s.last(ctx)
	if err != nil {
		return err
	}
	if err := s.waitFor(ctx, last); err != nil {
		return err
	}
	rest := make([]*pending, 0, len(messages))
	for _, p := range messages {
		s.mu.RLock()
		first := s.nonces.find(p.key, time.Now())
		s.mu.RUnlock()
		if first.Repeat {
			s.finish(p, first, nil)
		}
		if !p.finished() {
			rest = append(rest, p)
		}
	}
	switch len(rest) {
	case 0:
		return nil
	case 1:
		return s.send(ctx, rest[0])
	case len(messages):
		return api // the first messages are older than what this node has read
	default:
		return s.sendBatch(ctx, rest)
	}
}

// Find implements [store.Store]. A node only knows the nonces of messages that it
// has read, including the end of the stream when it joined.
func (s *Store) Find(_ context.Context, room string, owner store.Owner, nonce string) (store.Receipt, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.status.phase == closed {
		return store.Receipt{}, store.ErrClosed
	}
	return s.nonces.find(nonceKey(room, owner, nonce), time.Now()), nil
}
