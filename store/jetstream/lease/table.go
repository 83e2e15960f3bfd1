// Package lease lets one of many processes at a time hold a value, in a stream of NATS
// JetStream that has nothing else. Whoever holds it renews it; another process takes it over
// when it has seen no renewal for some time by its own clock. Each change names the one that
// it follows, so that of two processes only one succeeds.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// renewEvery is how often a holder renews its lease, and lostAfter is how long after the
	// last renewal that succeeded it takes the lease for lost.
	renewEvery     = 2 * time.Second
	lostAfter      = 7 * time.Second
	requestTimeout = 2 * time.Second
	// takenAfter is how long a process sees no renewal before it takes the lease over, and
	// pollEvery is how often it looks. Together they are less than 15 s.
	takenAfter = 11 * time.Second
	pollEvery  = time.Second
)

// errOutrun is returned for a change that does not follow the newest one.
var errOutrun = errors.New("another process has changed the lease")

// ErrLost is returned when another process may have the lease.
var ErrLost = errors.New("the lease is lost")

// Table is a stream with the leases of one hub. Its exported fields are constant. Its
// methods may be called by several goroutines at the same time, for different names.
type Table struct {
	JS jetstream.JetStream
	// Stream is the name of the stream, and Subject begins the subjects of its entries.
	Stream, Subject string
	Replicas        int
	// Call calls a function that sends a request, and returns its error, or earlier if the
	// context ends.
	Call func(context.Context, func() error) error
}

// entry is the newest entry of a name.
type entry struct {
	// Value is what is held.
	Value string `json:"value"`
	// By is the lease with which it was written, and Held is set unless that was given up.
	By   string `json:"by"`
	Held bool   `json:"held,omitempty"`
	// Dropped is set if there is no value any more.
	Dropped bool `json:"dropped,omitempty"`

	seq uint64 // 0 if there is no entry
}

// has reports whether there is a value.
func (e *entry) has() bool { return e.seq > 0 && !e.Dropped }

// create creates the stream, unless it exists.
func (t *Table) create(ctx context.Context) error {
	err := t.request(ctx, func(ctx context.Context) error {
		_, err := t.JS.Stream(ctx, t.Stream)
		return err
	})
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	err = t.request(ctx, func(ctx context.Context) error {
		_, err := t.JS.CreateStream(ctx, jetstream.StreamConfig{
			Name: t.Stream, Subjects: []string{t.Subject + ".*"}, Description: "who sends the webhook of caddy-sse-chat, and from where",
			MaxMsgsPerSubject: 1, Storage: jetstream.FileStorage, Replicas: t.Replicas,
		})
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // another process was first
	}
	return err
}

// request sends a request, for a limited time.
func (t *Table) request(ctx context.Context, send func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := t.Call(ctx, func() error { return send(ctx) }); err != nil {
		return fmt.Errorf("stream %s: %w", t.Stream, err)
	}
	return nil
}

// read returns the newest entry of a name, from the stream's leader.
func (t *Table) read(ctx context.Context, name string) (entry, error) {
	found := make(chan entry, 1)
	err := t.request(ctx, func(ctx context.Context) error {
		stream, err := t.JS.Stream(ctx, t.Stream)
		if err != nil {
			return err
		}
		m, err := stream.GetLastMsgForSubject(ctx, t.Subject+"."+name)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			found <- entry{}
			return nil
		}
		if err != nil {
			return err
		}
		e := entry{seq: m.Sequence}
		err = json.Unmarshal(m.Data, &e)
		found <- e
		return err
	})
	if err != nil {
		return entry{}, err
	}
	return <-found, nil
}

// write writes an entry that follows another one, and returns it with its sequence. The error
// is errOutrun if that is not the newest.
func (t *Table) write(ctx context.Context, name string, after uint64, e entry) (entry, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return e, err
	}
	seq := make(chan uint64, 1)
	err = t.request(ctx, func(ctx context.Context) error {
		ack, err := t.JS.PublishMsg(ctx, &nats.Msg{Subject: t.Subject + "." + name, Data: data},
			jetstream.WithExpectLastSequencePerSubject(after), jetstream.WithExpectStream(t.Stream))
		if err == nil {
			seq <- ack.Sequence
		}
		return err
	})
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return e, errOutrun
	}
	if err != nil {
		return e, err
	}
	e.seq = <-seq
	return e, nil
}

// Take waits until no other process holds a name, and takes it. If the name has no value,
// begin returns the first one; dropped tells whether an earlier value was dropped. A value
// that was removed while Take was waiting is kept. The lease ends with life and must be
// closed.
func (t *Table) Take(ctx, life context.Context, name string, begin func(dropped bool) string) (*Lease, error) {
	if err := t.create(ctx); err != nil {
		return nil, err
	}
	var seen entry
	var since time.Time
	for by := nuid.Next(); ; {
		now := time.Now()
		e, err := t.read(ctx, name)
		if err != nil {
			return nil, err
		}
		next := entry{Value: e.Value, By: by, Held: true}
		free := !e.Held
		switch {
		case !e.has() && seen.has():
			next.Value = seen.Value
		case !e.has():
			next.Value = begin(e.Dropped)
		case e.seq != seen.seq:
			seen, since = e, now
		default:
			free = free || now.Sub(since) >= takenAfter
		}
		if free {
			if next, err = t.write(ctx, name, e.seq, next); err == nil {
				return t.lease(life, name, next, now), nil
			}
			if !errors.Is(err, errOutrun) {
				return nil, err
			}
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-life.Done():
			return nil, life.Err()
		}
	}
}

// Drop removes the value of a name if it was written last with a lease that was given up. by
// is [Lease.ID] of that.
func (t *Table) Drop(ctx context.Context, name, by string) error {
	e, err := t.read(ctx, name)
	if err != nil || !e.has() || e.Held || e.By != by {
		return err
	}
	if _, err = t.write(ctx, name, e.seq, entry{By: by, Dropped: true}); errors.Is(err, errOutrun) {
		return nil // another process has it
	}
	return err
}
