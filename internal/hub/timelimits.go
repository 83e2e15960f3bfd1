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

// tick does what is due at a time and returns when it wants to be asked
// again.
func (s *Subscriber) tick(now int64) (next int64) {
	limit := s.writeLimit
	// while the process was stopped no reader could be blamed
	awake := s.hub.wheel.Woke()
	if s.hub.closing.Load() != nil {
		limit, awake = min(limit, GoodbyeLimit), 0
	}
	if since := s.writingSince.Load(); since != 0 {
		since = max(since, awake)
		if now-since < limit {
			return s.tryAgain(now, since+limit)
		}
		s.End(EndSlow)
		s.abortWrite()
		return now + wheel.Ticks(time.Second)
	}
	if s.vanished(now) {
		s.End(EndClient)
		return now + wheel.Ticks(time.Second)
	}
	if s.endsAt != 0 && now >= s.endsAt {
		s.End(endMaxAge)
	}
	if at := s.retryAt.Load(); at != 0 && now >= at {
		s.retryAt.Store(0)
		s.signal()
	}
	beatAt := s.wrote.Load() + s.interval + s.jitter
	if now >= beatAt {
		s.beat.Store(true)
		s.signal()
		s.jitter = jitter(s.interval)
		beatAt = now + s.interval + s.jitter
	}
	next = min(beatAt, now+max(1, limit/2))
	if s.owes != 0 {
		next = min(next, max(s.owes+s.silenceLimit(), now+1))
	}
	if s.endsAt != 0 {
		next = min(next, max(s.endsAt, now+1))
	}
	if at := s.retryAt.Load(); at != 0 {
		next = min(next, at)
	}
	return next
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

// tryAgain looks after a stalled write from time to time, because heartbeats
// and ages are due again once it is over. If it is a sender's it is retried: a
// kernel that is short of memory does not tell when it has some.
func (s *Subscriber) tryAgain(now, atLatest int64) (next int64) {
	if s.parked() {
		s.signal()
	}
	return min(atLatest, now+wheel.Ticks(time.Second/2))
}
