package hub

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
)

const (
	// ReadTimeout is how long one read of the store may take. Then the stream waits
	// a moment and tries again.
	ReadTimeout = 10 * time.Second
	// silenceLimit is how long a peer may acknowledge nothing, in ticks, however
	// short write_timeout is: networks that are well lose packets too.
	silenceLimit = 30
	// GoodbyeLimit is how long a write may take, in ticks, once the hub closes.
	GoodbyeLimit = 20
)

// Tick implements [wheel.Item]. A panic costs the stream only.
func (s *Subscriber) Tick(now int64) (next int64) {
	defer contain.Panic("what is due for a stream", func() {
		s.End(EndError)
		next = now + wheel.Ticks(time.Second)
	})
	return s.tick(now)
}

// never is the tick for what does not come.
const never = math.MaxInt64

// tick does what is due now, and returns the tick at which it wants to be called
// again.
func (s *Subscriber) tick(now int64) (next int64) {
	limit, awake := s.writeLimit, s.hub.wheel.Woke()
	if s.hub.closing.Load() != nil {
		limit, awake = min(limit, GoodbyeLimit), 0
	}
	if since := s.writingSince.Load(); since != 0 {
		// no reader is to blame for the time in which the process was stopped
		return s.stalled(now, max(since, awake), limit)
	}
	if s.vanished(now) {
		s.End(EndClient)
		return now + wheel.Ticks(time.Second)
	}
	return min(s.heartbeats(now), s.ages(now), s.retriesStore(now), s.staysSilent(now), now+max(1, limit/2))
}

// stalled cuts off a reader whose current write takes too long. Until then it looks
// after the write periodically, because heartbeats and ages are due again once it
// is over. A parked stream's write is retried: a kernel that was short of memory
// does not report that it has some again.
func (s *Subscriber) stalled(now, since, limit int64) (next int64) {
	if now-since >= limit {
		s.End(EndSlow)
		s.abortWrite()
		return now + wheel.Ticks(time.Second)
	}
	if s.parked() {
		s.signal()
	}
	return min(since+limit, now+wheel.Ticks(time.Second/2))
}

// heartbeats makes a heartbeat due if nothing was written for the interval.
func (s *Subscriber) heartbeats(now int64) (next int64) {
	at := s.wrote.Load() + s.interval + s.jitter
	if now < at {
		return at
	}
	s.beat.Store(true)
	s.signal()
	s.jitter = jitter(s.interval)
	return now + s.interval + s.jitter
}

// ages ends the stream at its maximum age.
func (s *Subscriber) ages(now int64) (next int64) {
	if s.endsAt == 0 {
		return never
	}
	if now >= s.endsAt {
		s.End(endMaxAge)
	}
	return max(s.endsAt, now+1)
}

// retriesStore lets the stream read from the store again, some time after a read
// has failed.
func (s *Subscriber) retriesStore(now int64) (next int64) {
	at := s.retryAt.Load()
	switch {
	case at == 0:
		return never
	case now < at:
		return at
	}
	s.retryAt.Store(0)
	s.signal()
	return never
}

// staysSilent returns when a peer that owes an acknowledgement has vanished.
func (s *Subscriber) staysSilent(now int64) (next int64) {
	if s.owes == 0 {
		return never
	}
	return max(s.owes+s.silenceLimit(), now+1)
}

// jitter returns at random by how many ticks a heartbeat comes early or late, up
// to a tenth of the interval, so that streams opened together do not beat
// together. What is no whole tick is one with that probability.
func jitter(interval int64) int64 {
	return int64(math.Floor((rand.Float64()-0.5)*0.2*float64(interval) + rand.Float64()))
}

// vanished reports whether the peer's machine has acknowledged nothing for as
// long as a write may take, of what the kernel has taken for it. The kernel
// itself would try for a quarter of an hour.
func (s *Subscriber) vanished(now int64) bool {
	wrote := s.wrote.Load()
	if s.heard > wrote {
		return false
	}
	since, owed := s.askUnheard()
	if !owed {
		s.heard, s.owes = now, 0
		return false
	}
	if s.owes == 0 {
		s.owes = wrote
	}
	// nobody can be blamed while this machine slept
	s.owes = max(s.owes, now-wheel.Ticks(since), s.hub.wheel.Woke())
	return now >= s.owes+s.silenceLimit()
}

func (s *Subscriber) silenceLimit() int64 { return max(s.writeLimit, silenceLimit) }

func (s *Subscriber) askUnheard() (since time.Duration, owed bool) {
	if t := s.ticket.Load(); t != nil {
		return t.Stream.Unheard()
	}
	if s.unheard == nil {
		return 0, false
	}
	return s.unheard()
}
