package hub

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A turn of delivery that takes long makes publishers wait once they have
// published so many bytes meanwhile, but no longer than patience: readers are
// no reason to refuse a message.
const (
	longTurn     = 50 * time.Millisecond
	turnBytes    = 24 << 10
	pacePatience = time.Second
)

// Between waking some handlers and the next dispatch lets them have the core.
// Every so often it also sleeps, if more has been published meanwhile: a
// scheduler that has always something to run looks only every 10 ms whether
// the network has something, and so whether there are publishers.
const (
	napEvery = 32
	napBytes = 400 // two messages or so
	nap      = time.Millisecond
)

// Pace slows publishers down when more is published than can be sent. Else
// each turn of delivery would take longer than the one before, and readers
// would be left ever further behind.
type Pace struct {
	Published atomic.Int64 // bytes for rooms that are read
	turns     []Round      // that of dispatch, and those of the senders
}

func newPace() *Pace { return &Pace{turns: make([]Round, 1+runtime.GOMAXPROCS(0))} }

func (p *Pace) dispatch() *Round { return &p.turns[0] }

func (p *Pace) Senders() []Round { return p.turns[1:] }

// pause is what dispatch does after each step of waking the readers of a room,
// which began when so many bytes had been published.
func (p *Pace) pause(step int, published int64) {
	if step%napEvery == 0 && p.Published.Load()-published >= napBytes {
		time.Sleep(nap)
		return
	}
	runtime.Gosched()
}

// await waits for the turns that take long, if much was published meanwhile.
func (p *Pace) await(ctx context.Context) {
	var patience *time.Timer
	for i := range p.turns {
		over := p.turns[i].late(p.Published.Load())
		if over == nil {
			continue
		}
		if patience == nil {
			patience = time.NewTimer(pacePatience)
			defer patience.Stop()
		}
		select {
		case <-over:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Round is one round of delivery: of a sender through the streams that it has
// to write to, or of dispatch through the readers that it has to wake.
type Round struct {
	mu        sync.Mutex // guards all below
	began     time.Time  // zero between turns
	published int64      // bytes, by then
	over      chan struct{}
}

func (t *Round) Begin(published int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began, t.published = time.Now(), published
}

func (t *Round) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = time.Time{}
	if t.over != nil {
		close(t.over)
		t.over = nil
	}
}

// late returns a channel that is closed at the end of a turn that publishers
// have to wait for, or nil.
func (t *Round) late(published int64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if published-t.published < turnBytes || t.began.IsZero() || time.Since(t.began) < longTurn {
		return nil
	}
	if t.over == nil {
		t.over = make(chan struct{})
	}
	return t.over
}
