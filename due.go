package ssechat

import (
	"math/rand/v2"
	"time"
)

// goodbyeLimit is how long a write may take, in ticks, once the hub closes.
const goodbyeLimit = 20

// tick does what is due at a time and returns when it wants to be asked
// again. The wheel calls it.
func (s *subscriber) tick(now int64) (next int64) {
	limit := s.writeLimit
	// while the process was stopped no reader could be blamed
	awake := s.broker.wheel.woke
	if s.broker.closing.Load() != nil {
		limit, awake = min(limit, goodbyeLimit), 0
	}
	if since := s.writingSince.Load(); since != 0 {
		since = max(since, awake)
		if now-since < limit {
			return s.tryAgain(now, since+limit)
		}
		s.end(endSlow)
		s.cut()
		return now + ticks(time.Second)
	}
	if s.endsAt != 0 && now >= s.endsAt {
		s.end(endMaxAge)
	}
	if at := s.retryAt.Load(); at != 0 && now >= at {
		s.retryAt.Store(0)
		s.signal()
	}
	beatAt := s.wrote.Load() + s.interval + s.jitter
	if now >= beatAt {
		s.beat.Store(true)
		s.signal()
		// ±10 %, so that streams opened together do not beat together for ever
		s.jitter = int64((rand.Float64() - 0.5) * 0.2 * float64(s.interval))
		beatAt = now + s.interval + s.jitter
	}
	next = min(beatAt, now+max(1, limit/2))
	if s.endsAt != 0 {
		next = min(next, max(s.endsAt, now+1))
	}
	if at := s.retryAt.Load(); at != 0 {
		next = min(next, at)
	}
	return next
}

// tryAgain has a write that is stuck tried again from time to time, if it is a
// sender's: a kernel that is short of memory does not tell when it has some.
func (s *subscriber) tryAgain(now, atLatest int64) (next int64) {
	if s.parked.Load() == nil {
		return atLatest
	}
	s.signal()
	return min(atLatest, now+ticks(time.Second/2))
}
