package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// load is everything that uses the server.
type load struct {
	options
	server *server
	// replace the numbers in options
	rooms   []*room
	readers []*reader
	faults  faults
	// refusals are the requests for streams that were not answered
	refusals faults
	counters

	// publishing ends, then readers that are away come back and stay, then all leave
	done, stay chan struct{}
	gone       context.CancelFunc
	reading    sync.WaitGroup
}

// room is what the publishers know about a room.
type room struct {
	name string
	// messages up to acked were answered, and none after sent were sent.
	sent, acked atomic.Uint64
}

// counters count events of the soak.
type counters struct {
	published, repeats, delivered atomic.Int64
	streams, resumed, ended       atomic.Int64
	cancels, closes, resets, torn atomic.Int64
	refused, gaps                 atomic.Int64
	reloads                       atomic.Int64
}

// counts are counters at the end.
type counts struct {
	published, repeats, delivered, streams, resumed, ended, cancels, closes, resets, torn, refused, gaps, reloads int64
}

func (l *load) counted() counts {
	return counts{
		l.published.Load(), l.repeats.Load(), l.delivered.Load(), l.streams.Load(), l.resumed.Load(), l.ended.Load(),
		l.cancels.Load(), l.closes.Load(), l.resets.Load(), l.torn.Load(), l.refused.Load(), l.gaps.Load(), l.reloads.Load(),
	}
}

// faults collects what went wrong.
type faults struct {
	mu   sync.Mutex
	said []string
	more int
}

// add records a fault; beyond a limit it only counts them.
func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.said) < 50 {
		f.said = append(f.said, fmt.Sprintf(format, args...))
		return
	}
	f.more++
}

func (f *faults) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.more == 0 {
		return f.said
	}
	return append(f.said, fmt.Sprintf("and %d faults more", f.more))
}

func newLoad(o options, s *server) *load {
	l := &load{options: o, server: s, done: make(chan struct{}), stay: make(chan struct{})}
	for i := range o.rooms {
		l.rooms = append(l.rooms, &room{name: fmt.Sprintf("room-%d", i)})
	}
	for i, b := range newBrowsers(o.over, o.readers) {
		l.readers = append(l.readers, l.newReader(i, b))
	}
	return l
}

// prepare publishes once in each room, and returns the server's usage after it.
func (l *load) prepare(ctx context.Context) (sample, error) {
	for _, r := range l.rooms {
		p := l.newPublisher(r)
		if err := p.publish(ctx); err != nil {
			return sample{}, err
		}
		p.close()
	}
	return l.server.sample()
}

// run runs the load, and returns the server's usage during it.
func (l *load) run(ctx context.Context) ([]sample, error) {
	reading, gone := context.WithCancel(context.Background())
	l.gone = gone
	for i, r := range l.readers {
		l.reading.Go(func() { r.read(reading) })
		if i%20 == 19 { // not all at once
			time.Sleep(20 * time.Millisecond)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.time)
	defer cancel()
	var publishing sync.WaitGroup
	for _, r := range l.rooms {
		p := l.newPublisher(r)
		publishing.Go(func() {
			defer p.close()
			p.pace(ctx, float64(len(l.rooms))/l.rate)
		})
	}
	publishing.Go(func() { l.change(ctx) })
	samples, err := l.watch(ctx)
	cancel()
	publishing.Wait()
	return samples, err
}

// change reloads the configuration periodically.
func (l *load) change(ctx context.Context) {
	for pause(ctx, l.reload) {
		if err := l.server.change(); err != nil {
			l.faults.add("reload: %v", err)
		}
		l.reloads.Add(1)
	}
}

// settle waits until each reader has every acknowledged message, and records the
// missing ones.
func (l *load) settle() {
	close(l.stay)
	owed := uint64(0)
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(50 * time.Millisecond) {
		owed = 0
		for _, r := range l.readers {
			owed += r.owed()
		}
		if owed == 0 {
			return
		}
	}
	l.faults.add("%d messages did not come within %s after the last one was published", owed, patience)
}

// leave ends all readers.
func (l *load) leave() {
	l.gone()
	l.reading.Wait()
	for _, r := range l.readers {
		r.browser.transport.CloseIdleConnections()
	}
}

// pause waits, and reports whether it was not interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// between returns a random duration.
func between(least, most time.Duration) time.Duration {
	return least + time.Duration(rand.Int64N(int64(most-least)+1))
}
