package hub

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
)

const (
	// ReadTimeout is how long one read of the store may take. A stream whose read
	// fails waits a few seconds and retries.
	ReadTimeout = 10 * time.Second
	// silenceLimit is the least time, in ticks, for which a peer may leave writes
	// unacknowledged, however short write_timeout is: healthy networks lose packets
	// too.
	silenceLimit = 30
	// GoodbyeLimit is how long a write may take once the hub closes. A stream
	// whose write takes longer is cut off.
	GoodbyeLimit = 2 * time.Second
	goodbyeTicks = int64(GoodbyeLimit / wheel.Tick)
)

// Tick implements [wheel.Item]. A panic costs the stream only.
func (s *Subscriber) Tick(now int64) (next int64) {
	defer contain.Panic("what is due for a stream", func() {
		s.End(EndError)
		next = now + wheel.Ticks(time.Second)
	})
	return s.tick(now)
}

// never is the tick of something that is not due.
const never = math.MaxInt64

// tick does what is due and returns the tick of its next call.
func (s *Subscriber) tick(now int64) (next int64) {
	limit, woke := s.writeLimit, s.hub.wheel.Woke()
	if s.hub.closing.Load() != nil {
		limit, woke = min(limit, goodbyeTicks), 0
	}
	if since := s.writingSince.Load(); since != 0 {
		// a reader is not blamed for the time in which this process was suspended
		return s.checkStall(now, max(since, woke), limit)
	}
	if s.vanished(now) {
		s.End(EndClient)
		return now + wheel.Ticks(time.Second)
	}
	return min(s.checkHeartbeat(now), s.checkAge(now), s.checkStoreRetry(now), s.silenceDeadline(now), now+max(1, limit/2))
}

// checkStall cuts off a reader whose current write takes too long. Until then it
// checks periodically, because heartbeats and the maximum age are due again once
// the write is over. It retries a parked stream's write, because a kernel that was
// short of memory does not report that it has some again.
func (s *Subscriber) checkStall(now, since, limit int64) (next int64) {
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

// checkHeartbeat makes a heartbeat due if nothing was written for the interval.
// Like the functions below it returns the tick of its next call.
func (s *Subscriber) checkHeartbeat(now int64) (next int64) {
	at := s.lastWrite.Load() + s.interval + s.jitter
	if now < at {
		return at
	}
	s.beat.Store(true)
	s.signal()
	s.jitter = jitter(s.interval)
	return now + s.interval + s.jitter
}

// checkAge ends the stream at its maximum age.
func (s *Subscriber) checkAge(now int64) (next int64) {
	if s.endsAt == 0 {
		return never
	}
	if now >= s.endsAt {
		s.End(endMaxAge)
	}
	return max(s.endsAt, now+1)
}

// checkStoreRetry wakes the stream to read the store again, some time after a read
// failed.
func (s *Subscriber) checkStoreRetry(now int64) (next int64) {
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

// silenceDeadline returns the tick at which a peer that owes an acknowledgement
// counts as vanished.
func (s *Subscriber) silenceDeadline(now int64) (next int64) {
	if s.unackedSince == 0 {
		return never
	}
	return max(s.unackedSince+s.silenceLimit(), now+1)
}

// jitter returns a random deviation of up to a tenth of an interval, in ticks, so
// that streams that opened together do not beat together. It rounds fractions of a
// tick up or down at random.
func jitter(interval int64) int64 {
	return int64(math.Floor((rand.Float64()-0.5)*0.2*float64(interval) + rand.Float64()))
}

// vanished reports whether the peer has acknowledged nothing for as long as a write
// may take. The kernel itself would retry for a quarter of an hour.
func (s *Subscriber) vanished(now int64) bool {
	wrote := s.lastWrite.Load()
	if s.ackedAt > wrote {
		return false
	}
	since, owed := s.askUnacked()
	if !owed {
		s.ackedAt, s.unackedSince = now, 0
		return false
	}
	if s.unackedSince == 0 {
		s.unackedSince = wrote
	}
	// the time in which this machine slept does not count
	s.unackedSince = max(s.unackedSince, now-wheel.Ticks(since), s.hub.wheel.Woke())
	return now >= s.unackedSince+s.silenceLimit()
}

// silenceLimit returns how long the peer may stay silent, in ticks.
func (s *Subscriber) silenceLimit() int64 { return max(s.writeLimit, silenceLimit) }

// askUnacked asks the connection how long the peer has been silent, and whether it
// owes an acknowledgement.
func (s *Subscriber) askUnacked() (since time.Duration, owed bool) {
	if t := s.ticket.Load(); t != nil {
		return t.Stream.Unacked()
	}
	if s.unacked == nil {
		return 0, false
	}
	return s.unacked()
}
