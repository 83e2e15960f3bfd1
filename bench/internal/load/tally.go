package load

import (
	"slices"
	"time"
)

// Tally is what clients have received so far.
type Tally struct {
	// Wanted is how many messages all of them should have, Lost how many of these
	// they have not. Doubled counts repeats.
	Wanted, Lost, Doubled int
	// Live has the latencies of messages that were published while a client's
	// stream was open, Replayed of those that were published before. Rested has
	// the latter counted from the end of the client's outage.
	Live, Replayed, Rested []time.Duration
	// Busy is how long the thread did not wait.
	Busy time.Duration
}

// Tally counts the messages of which the numbers were acknowledged.
func (c *Clients) Tally(acknowledged []int) Tally {
	var all numbers
	for _, n := range acknowledged {
		all.add(n)
	}
	var t Tally
	c.call(func() {
		t = Tally{
			Wanted: len(acknowledged) * len(c.clients),
			Live:   slices.Clone(c.live), Replayed: slices.Clone(c.replayed), Rested: slices.Clone(c.rested),
			Busy: c.busy,
		}
		for _, one := range c.clients {
			t.Lost += one.seen.missing(all)
			t.Doubled += one.doubled
		}
	})
	return t
}

// Open returns how many clients have an open stream.
func (c *Clients) Open() (n int) {
	c.call(func() {
		for _, one := range c.clients {
			if one.opened {
				n++
			}
		}
	})
	return n
}

// Returns is when clients came back from something.
type Returns struct {
	// After has, for each client that has a stream, how long after the event it
	// was answered again; 0 if its stream never ended.
	After []time.Duration
	// Ended counts the clients whose streams ended, Never those without a stream.
	Ended, Never int
}

// Since returns who has come back from something that happened at a time.
func (c *Clients) Since(begin time.Time) Returns {
	var r Returns
	c.call(func() {
		for _, one := range c.clients {
			ended := one.lostAt.After(begin)
			if ended {
				r.Ended++
			}
			switch {
			case !one.opened:
				r.Never++
			case ended:
				r.After = append(r.After, one.openedAt.Sub(begin))
			default:
				r.After = append(r.After, 0)
			}
		}
	})
	return r
}

// Share returns how long it took until a share of the clients that came back had a
// stream again.
func (r Returns) Share(share float64) time.Duration {
	return time.Duration(Percentile(r.After, share) * float64(time.Millisecond))
}
