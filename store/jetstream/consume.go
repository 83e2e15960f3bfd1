package jetstream

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// readSubject reads all messages of a subject, or only their headers, from any
// replica.
func (s *Store) readSubject(ctx context.Context, subject string, headersOnly bool) ([]*entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	return call(ctx, s, func() ([]*entry, error) { return s.consume(ctx, subject, headersOnly) })
}

// consume is readSubject without its guarantee to return when ctx ends; see call.
func (s *Store) consume(ctx context.Context, subject string, headersOnly bool) ([]*entry, error) {
	consumer, err := s.js.CreateConsumer(ctx, s.config.stream, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		FilterSubject:     subject,
		HeadersOnly:       headersOnly,
		InactiveThreshold: consumerLife,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, fmt.Errorf("creating a consumer: %w", s.explain(err))
	}
	defer func() { go s.removeConsumer(consumer.CachedInfo().Name) }()
	var entries []*entry
	for pending := consumer.CachedInfo().NumPending; pending > 0; {
		batch, err := consumer.Fetch(min(int(pending), pullMessages), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", subject, err)
		}
		got := 0
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", subject, err)
			}
			got++
			pending = meta.NumPending
			entries = append(entries, &entry{m.Subject(), meta.Sequence.Stream, m.Headers(), m.Data(), meta.Timestamp})
		}
		if err := batch.Error(); err != nil {
			return nil, fmt.Errorf("reading %s: %w", subject, s.explain(err))
		}
		if got == 0 {
			return nil, fmt.Errorf("reading %s: nothing came", subject)
		}
	}
	return entries, nil
}

// removeConsumer removes a consumer, best effort.
func (s *Store) removeConsumer(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_ = s.js.DeleteConsumer(ctx, s.config.stream, name)
}
