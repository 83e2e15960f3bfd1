package ssechat

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

// pace slows publishers down when more is published than can be sent. Else
// each turn of delivery would take longer than the one before, and readers
// would be left ever further behind.
type pace struct {
	published atomic.Int64 // bytes for rooms that are read
	turns     []turn       // that of dispatch, and those of the senders
}

func newPace() *pace { return &pace{turns: make([]turn, 1+runtime.GOMAXPROCS(0))} }

func (p *pace) dispatch() *turn { return &p.turns[0] }

func (p *pace) senders() []turn { return p.turns[1:] }

// pause is what dispatch does after each step of waking the readers of a room,
// which began when so many bytes had been published.
func (p *pace) pause(step int, published int64) {
	if step%napEvery == 0 && p.published.Load()-published >= napBytes {
		time.Sleep(nap)
		return
	}
	runtime.Gosched()
}

// await waits for the turns that take long, if much was published meanwhile.
func (p *pace) await(ctx context.Context) {
	var patience *time.Timer
	for i := range p.turns {
		over := p.turns[i].late(p.published.Load())
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

// turn is one round of delivery: of a sender through the streams that it has
// to write to, or of dispatch through the readers that it has to wake.
type turn struct {
	mu        sync.Mutex // guards all below
	began     time.Time  // zero between turns
	published int64      // bytes, by then
	over      chan struct{}
}

func (t *turn) begin(published int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began, t.published = time.Now(), published
}

func (t *turn) end() {
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
func (t *turn) late(published int64) <-chan struct{} {
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
