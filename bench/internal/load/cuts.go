package load

import (
	"math/rand/v2"
	"time"
)

// Cut makes each client lose its connection once in a period, and have no network
// for a while. The first cuts are spread evenly at random over the period.
func (c *Clients) Cut(every, away time.Duration) {
	c.call(func() {
		c.cutting, c.every, c.away = true, every, away
		now := time.Now()
		for i, one := range c.clients {
			one.nextCut = now.Add(rand.N(every))
			if one.opened {
				c.due[i] = one.nextCut
			}
		}
	})
}

// StopCuts ends the cuts. Clients without a connection still come back.
func (c *Clients) StopCuts() {
	c.call(func() {
		c.cutting = false
		for i, one := range c.clients {
			if one.conn != nil {
				c.due[i] = time.Time{}
			}
		}
	})
}

// schedule sets when an open client is cut off next.
func (c *Clients) schedule(i int, now time.Time) {
	one := c.clients[i]
	for !one.nextCut.After(now) {
		one.nextCut = one.nextCut.Add(c.every)
	}
	c.due[i] = one.nextCut
}

// comeback returns when a client reconnects that was cut off now: an EventSource
// tries after its delay, and again after each failure, until the outage is over.
func comeback(now time.Time, away, retry time.Duration) time.Time {
	if retry <= 0 {
		return now.Add(away)
	}
	return now.Add(max(retry, (away + retry - 1).Truncate(retry)))
}
