package hub

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Publishers wait for a round of delivery that takes longer than longRound, once
// roundBytes were published meanwhile. They wait pacePatience at most, because slow
// readers are no reason to refuse a message.
const (
	longRound    = 50 * time.Millisecond
	roundBytes   = 24 << 10
	pacePatience = time.Second
)

// dispatch yields the core after each step of waking handlers. After napEvery steps
// it sleeps instead, if more was published meanwhile: a scheduler that always has
// something to run polls the network only every 10 ms, and so would not notice
// publishers.
const (
	napEvery = 32
	napBytes = 400 // about two messages
	nap      = time.Millisecond
)

// Pace is the back-pressure on publishers. It slows them down when more is
// published than can be sent. Otherwise each round of delivery would take longer
// than the last, and readers would fall ever further behind. Its methods are safe
// for concurrent use.
type Pace struct {
	PublishedBytes atomic.Int64 // bytes published in rooms that are read
	rounds         []Round      // of dispatch, then of the senders
}

func newPace() *Pace { return &Pace{rounds: make([]Round, 1+runtime.GOMAXPROCS(0))} }

func (p *Pace) dispatchRound() *Round { return &p.rounds[0] }

// SenderRounds returns the rounds for senders of parked streams, one for each core.
// Each is for one sender.
func (p *Pace) SenderRounds() []Round { return p.rounds[1:] }

// pause lets other goroutines run after a step of waking readers. published is
// PublishedBytes when the waking began.
func (p *Pace) pause(step int, published int64) {
	if step%napEvery == 0 && p.PublishedBytes.Load()-published >= napBytes {
		time.Sleep(nap)
		return
	}
	runtime.Gosched()
}

// await waits for rounds that take long, if much was published meanwhile.
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

// Round is a round of delivery: of a sender through the streams that it has to
// write to, or of dispatch through the readers that it has to wake. Its methods are
// safe for concurrent use.
type Round struct {
	mu        sync.Mutex    // guards all below
	began     time.Time     // zero between rounds
	published int64         // PublishedBytes when it began
	over      chan struct{} // closed at the end; nil if nobody waits
}

// Begin begins a round. published is the current PublishedBytes.
func (r *Round) Begin(published int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began, r.published = time.Now(), published
}

// End ends the round and releases the publishers that wait for it.
func (r *Round) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Time{}
	if r.over != nil {
		close(r.over)
		r.over = nil
	}
}

// late returns a channel that is closed at the end of the round if publishers have
// to wait for it, otherwise nil.
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
