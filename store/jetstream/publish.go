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

// publishTimeout is how long one attempt to publish may take, so that a leader
// that has died is given up for its successor.
const publishTimeout = 2 * time.Second

// Headers of a batch that is stored as a whole or not at all, since 2.12.
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
const (
	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
)

// What the stream may answer to a batch.
const (
	batchIncomplete jetstream.ErrorCode = 10176
	batchRepeats    jetstream.ErrorCode = 10201
)

// ack is the stream's answer to a message that it has.
type ack struct {
	Sequence  uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`
}

// publish publishes a message once.
func (s *Store) publish(ctx context.Context, msg *nats.Msg) (ack, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	answer, err := ask(ctx, s, func() (*nats.Msg, error) { return s.nc.RequestMsgWithContext(ctx, msg) })
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
func (s *Store) publishBatch(ctx context.Context, flights []*flight) error {
	messages := batchOf(flights)
	last := len(messages) - 1
	err := order(ctx, s, func() error {
		for _, msg := range messages[:last] {
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
	_, err = s.publish(ctx, messages[last])
	return err
}

// batchOf returns the messages of flights as a batch.
func batchOf(flights []*flight) []*nats.Msg {
	messages := make([]*nats.Msg, len(flights))
	id := nuid.Next()
	for i, f := range flights {
		msg := nats.NewMsg(f.msg.Subject)
		msg.Data = f.msg.Data
		maps.Copy(msg.Header, f.msg.Header)
		msg.Header.Set(batchIDHeader, id)
		msg.Header.Set(batchSequenceHeader, strconv.Itoa(i+1))
		messages[i] = msg
	}
	messages[len(messages)-1].Header.Set(batchCommitHeader, "1")
	return messages
}

// retryable reports whether what failed may succeed a moment later: while a new
// leader is being elected, for example.
func retryable(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code != 400 || api.ErrorCode == batchIncomplete
	}
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, errAway) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting)
}
