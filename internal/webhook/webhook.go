// Package webhook tells a site over HTTP of all that happens in a hub: messages, changes,
// deletions and gaps, in batches, one after the other, each until the site has accepted it.
// How far the site has come is kept in the store, if the store can.
package webhook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Target is where the site is.
type Target struct {
	// URL is where batches are posted. It is never logged.
	URL string
	// Secret signs them; empty for no signature.
	Secret string
}

// Reports are called by the sender's goroutine, which waits for them. None may be nil.
type Reports struct {
	// Down reports that the site has accepted nothing for a minute, or that the log could not
	// be read or the place not be kept for so long, and why.
	Down func(error)
	// Up reports that it accepts again, after Down.
	Up func()
	// Stuck reports that the log cannot be read, or the place in it not be kept, and why. It
	// comes once for each reason, and nothing is lost.
	Stuck func(error)
}

// limits are the times of a sender.
type limits struct {
	timeout  time.Duration // of a request
	shortest time.Duration // between attempts, the first time
	longest  time.Duration // between attempts
	down     time.Duration // after which a site that accepts nothing is reported
	save     time.Duration // how often the place is stored while there is more to tell
	grace    time.Duration // for a request when the sender is to stop, or to post elsewhere
	store    time.Duration // for a call of the store
	fresh    time.Duration // how long what was read is told without reading it again
}

var usualLimits = limits{
	timeout: 30 * time.Second, shortest: time.Second, longest: 5 * time.Minute, down: time.Minute,
	save: 250 * time.Millisecond, grace: 2 * time.Second, store: 10 * time.Second, fresh: 3 * time.Second,
}

// after returns the pause between attempts that follows another one, which is 0 at first. Up
// to a quarter of it is to be added at random.
func (l *limits) after(pause time.Duration) time.Duration {
	return min(max(l.shortest, 2*pause), l.longest*4/5)
}

// Sender tells one site of what happens in one hub. It outlives configurations. Its methods
// may be called by several goroutines at the same time.
type Sender struct {
	hub     *hub.Hub
	store   store.Store
	reports Reports
	limits  limits

	failures atomic.Uint64
	// oldest is the time, in Unix milliseconds, of the oldest entry that the site has not
	// accepted, or since when the log cannot be read; 0 if there is none.
	oldest    atomic.Int64
	following atomic.Bool // whether it hears of what is stored; for tests
	// What was reported as stuck, since when it is, and whether Down was reported without Up.
	// Only the goroutine uses these.
	said       string
	stuckSince time.Time
	down       bool
	// place is where the last round was, for a store without cursors; nil if none is to go on
	// there. Only the goroutine uses it.
	place *store.ID

	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended; nil before it begins

	mu     sync.Mutex // guards all below, and done
	target *Target    // nil if nobody is to be told
	valid  context.Context
	stale  context.CancelFunc // ends valid, when the target has changed
	ending bool
}

// New returns a sender for a hub and its store, which tells nobody yet. It must be closed
// before these.
func New(h *hub.Hub, st store.Store, reports Reports) *Sender {
	s := &Sender{hub: h, store: st, reports: reports, limits: usualLimits}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.valid, s.stale = context.WithCancel(s.ctx)
	return s
}

// Direct has the sender tell a site, from where it was, or nobody if target is nil. Then the
// place is forgotten, so that a later target is told what comes after that. It does not
// wait.
func (s *Sender) Direct(target *Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, durable := s.store.(store.Cursors)
	if s.ending || same(s.target, target) && (s.done != nil || !durable) {
		return // even if there is none, the store may know one from before
	}
	s.target = target
	s.stale()
	s.valid, s.stale = context.WithCancel(s.ctx)
	if s.done == nil {
		s.done = make(chan struct{})
		go s.run()
	}
}

func same(a, b *Target) bool { return a == b || a != nil && b != nil && *a == *b }

// End has the sender stop, because the process exits. A request or a call of the store that
// is under way may take 2 s, and then storing the place as long. It does not wait.
func (s *Sender) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.stale()
	time.AfterFunc(s.limits.grace, s.cancel)
}

// Close stops the sender, at once unless End was called before, and waits until it has.
func (s *Sender) Close() {
	s.mu.Lock()
	done := s.done
	if !s.ending {
		s.cancel()
	}
	s.ending = true
	s.stale()
	s.mu.Unlock()
	if done != nil {
		<-done
	}
	s.cancel()
}

// current returns the target, which is in force until the context ends. It reports false if
// the sender is to stop.
func (s *Sender) current() (*Target, context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target, s.valid, !s.ending
}

// Failures returns how many requests have failed.
func (s *Sender) Failures() uint64 { return s.failures.Load() }

// Lag returns the age, at a time, of the oldest entry that the site has not accepted, or 0 if
// there is none, or if another process tells the site.
func (s *Sender) Lag(now time.Time) time.Duration {
	oldest := s.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(oldest)))
}
