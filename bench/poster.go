package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/load"
	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// poster publishes numbered messages at an even rate and repeats each until it is
// acknowledged. If that takes long, the next ones follow without a pause.
type poster struct {
	process *process
	client  *http.Client
	scheme  string
	size    int
	cancel  context.CancelFunc
	done    sync.WaitGroup

	// to be read after stop
	acknowledged []int
	slowest      time.Duration // from the first attempt to the acknowledgement
}

// newClient returns a client that speaks HTTP/1.1.
func newClient(keepAlive bool) *http.Client {
	transport := &http.Transport{
		DisableKeepAlives: !keepAlive,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificate was just created
	}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}
}

// post starts a poster, after message 0 has reached all clients: with it each gets
// an id to come back with. It is not counted.
func (p *process) post(with params, to *load.Clients) (*poster, error) {
	w := &poster{process: p, client: newClient(true), scheme: with.Over.Scheme(), size: with.Size}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	if err := w.once(ctx, 0, time.Now()); err != nil {
		cancel()
		return nil, err
	}
	to.Settle(settleLimit)
	pause := time.Duration(float64(time.Second) / with.Rate)
	w.done.Go(func() {
		begin := time.Now()
		for n := 1; sleep(ctx, time.Until(begin.Add(time.Duration(n)*pause))); n++ {
			w.persist(ctx, n)
		}
	})
	return w, nil
}

// again is the pause before a message is repeated.
const again = 50 * time.Millisecond

// persist publishes a message until it is acknowledged.
func (w *poster) persist(ctx context.Context, n int) {
	begin := time.Now()
	for w.once(ctx, n, begin) != nil {
		if !sleep(ctx, again) {
			return
		}
	}
	w.acknowledged = append(w.acknowledged, n)
	w.slowest = max(w.slowest, time.Since(begin))
}

// once tries to publish a message.
func (w *poster) once(ctx context.Context, n int, begin time.Time) error {
	addr := w.process.site.Addr
	text := load.AppendText(nil, n, w.size, begin)
	raw := w.process.kind.AppendPublish(nil, addr, "", string(text), 1)
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return err
	}
	// a message that is being published when the measurement ends is still answered
	request = request.WithContext(context.WithoutCancel(ctx))
	request.RequestURI, request.URL.Scheme, request.URL.Host = "", w.scheme, addr
	request.Header.Set("Idempotency-Key", fmt.Sprint("bench-", n))
	answer, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return errors.New(answer.Status)
	}
	return nil
}

func (w *poster) stop() {
	w.cancel()
	w.done.Wait()
	w.client.CloseIdleConnections()
}

// sleep waits, and reports whether the context still lasts.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// probe asks a server again and again on new connections whether it answers.
type probe struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	outage outage // to be read after stop
}

// probeEvery is the pause between two requests.
const probeEvery = 20 * time.Millisecond

func (p *process) probe(over protocol.Name) *probe {
	ctx, cancel := context.WithCancel(context.Background())
	w := &probe{cancel: cancel}
	client, url := newClient(false), over.Scheme()+"://"+p.site.Addr+"/"
	w.done.Go(func() {
		for sleep(ctx, probeEvery) {
			begin := time.Now()
			answer, err := client.Get(url)
			ok := err == nil && answer.StatusCode < 500
			if err == nil {
				answer.Body.Close()
			}
			w.outage.add(begin, time.Now(), ok)
		}
	})
	return w
}

func (w *probe) stop() {
	w.cancel()
	w.done.Wait()
}

// outage adds up for how long a server did not answer: from the beginning of the
// first failed request to the answer of the next that succeeds.
type outage struct {
	total time.Duration
	since time.Time // of the current failures; zero if there are none
}

func (o *outage) add(begin, end time.Time, ok bool) {
	switch {
	case !ok && o.since.IsZero():
		o.since = begin
	case ok && !o.since.IsZero():
		o.total += end.Sub(o.since)
		o.since = time.Time{}
	}
}
