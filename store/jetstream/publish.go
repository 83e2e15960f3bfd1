package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// publishTimeout is how long one attempt to publish may take. The next one may reach
// a new leader.
const publishTimeout = 2 * time.Second

// Headers of a batch, of which the server stores all messages or none. NATS supports
// them since 2.12.
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
const (
	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
)

// Errors of the stream for a batch.
const (
	batchIncomplete jetstream.ErrorCode = 10176
	batchRepeats    jetstream.ErrorCode = 10201 // it contains a repeat
)

// ack is the stream's answer to a published message.
type ack struct {
	Sequence  uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`
}

// publish publishes a message once.
func (s *Store) publish(ctx context.Context, msg *nats.Msg) (ack, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	answer, err := call(ctx, s, func() (*nats.Msg, error) { return s.nc.RequestMsgWithContext(ctx, msg) })
	if err != nil {
		return ack{}, fmt.Errorf("publishing to stream %s: %w", s.config.stream, err)
	}
	var a ack
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return ack{}, fmt.Errorf("publishing to stream %s: %w", s.config.stream, err)
	}
	if a.Error != nil {
		return ack{}, fmt.Errorf("publishing to stream %s: %w", s.config.stream, a.Error)
	}
	return a, nil
}

// publishBatch publishes messages once, all or none.
func (s *Store) publishBatch(ctx context.Context, messages []*pending) error {
	batch := batchOf(messages)
	last := len(batch) - 1
	err := callErr(ctx, s, func() error {
		for _, msg := range batch[:last] {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.nc.PublishMsg(msg); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publishing to stream %s: %w", s.config.stream, err)
	}
	_, err = s.publish(ctx, batch[last])
	return err
}

// batchOf returns copies of messages with the headers of a batch.
func batchOf(messages []*pending) []*nats.Msg {
	batch := make([]*nats.Msg, len(messages))
	id := nuid.Next()
	for i, p := range messages {
		msg := nats.NewMsg(p.msg.Subject)
		msg.Data = p.msg.Data
		maps.Copy(msg.Header, p.msg.Header)
		msg.Header.Set(batchIDHeader, id)
		msg.Header.Set(batchSequenceHeader, strconv.Itoa(i+1))
		batch[i] = msg
	}
	batch[len(batch)-1].Header.Set(batchCommitHeader, "1")
	return batch
}

// retryable reports whether a request that failed may succeed a moment later, for
// example because a leader is being elected.
func retryable(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code != 400 || api.ErrorCode == batchIncomplete
	}
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, errAway) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting)
}
