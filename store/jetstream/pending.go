package jetstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// pending is a message that is being published. It is done when this node has read
// it from the stream and delivered it, or when it has failed.
type pending struct {
	key  string // the stream knows repeats by it
	msg  *nats.Msg
	done chan struct{} // closed when the outcome is known

	// the outcome, valid once done is closed
	receipt store.Receipt // none for a change
	err     error
}

// addPending registers a message before it is sent. The caller holds the lock.
func (s *Store) addPending(key, subject string, data []byte) *pending {
	return s.addPendingMsg(key, newMsg(subject, key, s.latest.Ms, data))
}

// addPendingMsg is addPending for a message with other headers too.
func (s *Store) addPendingMsg(key string, msg *nats.Msg) *pending {
	p := &pending{key: key, msg: msg, done: make(chan struct{})}
	s.pending[key] = p
	return p
}

// finish sets the outcome of a message, unless it has one.
func (s *Store) finish(p *pending, receipt store.Receipt, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[p.key] == p {
		delete(s.pending, p.key)
		p.receipt, p.err = receipt, err
		close(p.done)
	}
}

// finished reports whether the message has an outcome.
func (p *pending) finished() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// await waits until the message has an outcome, and returns its error.
func (s *Store) await(ctx context.Context, p *pending) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return store.ErrClosed
	}
}

// randomKey returns a key for a message without a nonce. Only retries of the store
// itself repeat it.
func randomKey() string { return "-" + nuid.Next() }

// send publishes a message, and retries until the stream has it. If the stream had
// it before, send also finishes it. Otherwise it is finished when it is read from
// the stream.
func (s *Store) send(ctx context.Context, p *pending) error {
	return s.retry(ctx, p.done, func() error {
		ack, err := s.publish(ctx, p.msg)
		if err != nil || !ack.Duplicate {
			return err
		}
		return s.finishRepeat(ctx, p, ack.Sequence)
	})
}

// retry calls try until it succeeds or returns an error that is not retryable, done
// is closed, ctx ends or the store is closed. It pauses for 50 to 150 ms between
// attempts.
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
