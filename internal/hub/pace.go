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
	longRound    = 50 * time.Millisecond
	roundBytes   = 24 << 10
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
	PublishedBytes atomic.Int64 // bytes for rooms that are read
	rounds         []Round      // that of dispatch, and those of the senders
}

func newPace() *Pace { return &Pace{rounds: make([]Round, 1+runtime.GOMAXPROCS(0))} }

func (p *Pace) dispatchRound() *Round { return &p.rounds[0] }

func (p *Pace) SenderRounds() []Round { return p.rounds[1:] }

// pause is what dispatch does after each step of waking the readers of a room,
// which began when so many bytes had been published.
func (p *Pace) pause(step int, published int64) {
	if step%napEvery == 0 && p.PublishedBytes.Load()-published >= napBytes {
		time.Sleep(nap)
		return
	}
	runtime.Gosched()
}

// await waits for the turns that take long, if much was published meanwhile.
func (p *Pace) await(ctx context.Context) {
	var patience *time.Timer
	for i := range p.rounds {
		over := p.rounds[i].late(p.PublishedBytes.Load())
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

func (r *Round) Begin(published int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began, r.published = time.Now(), published
}

func (r *Round) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Time{}
	if r.over != nil {
		close(r.over)
		r.over = nil
	}
}

// late returns a channel that is closed at the end of a turn that publishers
// have to wait for, or nil.
func (r *Round) late(published int64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if published-r.published < roundBytes || r.began.IsZero() || time.Since(r.began) < longRound {
		return nil
	}
	if r.over == nil {
		r.over = make(chan struct{})
	}
	return r.over
}
