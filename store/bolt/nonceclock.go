package bolt

import (
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// nonceClock computes which nonces have expired, even if the machine's clock is
// set. The zero nonceClock is ready to use. It is not safe for concurrent use.
//
// Ids have the time of the machine's clock. If that is set forward, it would seem
// as if nonces had expired too early. So a forward step is counted only after a
// whole [store.NonceLife], when the nonces from before the step have expired
// anyway. A step back counts at once.
type nonceClock struct {
	began   time.Time     // the first time that was seen
	counted time.Duration // by how much the clock was set since began, as far as it is counted
	lowest  time.Duration // the lowest such value from since until now; it is counted next
	since   time.Time
}

// cutoff returns the time one [store.NonceLife] before now, in Unix milliseconds as
// in ids: nonces of that time or earlier have expired. now must have a reading of
// the monotonic clock.
func (c *nonceClock) cutoff(now time.Time) int64 {
	if c.began.IsZero() {
		c.began = now
	}
	// Round(0) removes the reading of the monotonic clock
	set := now.Round(0).Sub(c.began.Round(0)) - now.Sub(c.began)
	c.lowest = min(c.lowest, set)
	if c.counted >= c.lowest || now.Sub(c.since) >= store.NonceLife {
		c.counted = c.lowest
		c.lowest, c.since = set, now
	}
	return now.Add(c.counted - set - store.NonceLife).UnixMilli()
}
