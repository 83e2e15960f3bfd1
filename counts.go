package ssechat

import (
	"sync/atomic"
	"time"
)

// counts are what operators see of a hub since it was opened. They are read
// while they change; each by itself is right.
type counts struct {
	subscribers atomic.Int64
	opened      atomic.Uint64
	closed      tally // by endReasons
	refused     tally // by refuseReasons
	published   atomic.Uint64
	rejected    tally // by rejectReasons
	gaps        tally // by gapReasons
	appends     durations
	deliveries  [16]deliveries
}

func newCounts() counts {
	return counts{
		closed:   newTally(endReasons),
		refused:  newTally(refuseReasons),
		rejected: newTally(rejectReasons),
		gaps:     newTally(gapReasons),
	}
}

// deliveries count what goes out to some of a hub's streams. There are several
// of them, so that cores do not wait for each other at each delivery.
type deliveries struct {
	delivered, replayed atomic.Uint64
	_                   [48]byte // no two share a cache line
}

// open counts a stream and returns where to count what goes out to it.
func (c *counts) open() *deliveries {
	return &c.deliveries[c.opened.Add(1)%uint64(len(c.deliveries))]
}

// delivered returns how many messages went out, and how many of these were
// older than the stream that they went to.
func (c *counts) delivered() (all, replayed uint64) {
	for i := range c.deliveries {
		all += c.deliveries[i].delivered.Load()
		replayed += c.deliveries[i].replayed.Load()
	}
	return all, replayed
}

// tally counts by reason. The reasons are few and known beforehand.
type tally struct {
	reasons []string
	counts  []atomic.Uint64
}

func newTally[R ~string](reasons []R) tally {
	t := tally{counts: make([]atomic.Uint64, len(reasons))}
	for _, reason := range reasons {
		t.reasons = append(t.reasons, string(reason))
	}
	return t
}

// add counts one more. What has no known reason is not counted.
func (t *tally) add(reason string) {
	for i, r := range t.reasons {
		if r == reason {
			t.counts[i].Add(1)
		}
	}
}

// byReason returns a copy of the counts.
func (t *tally) byReason() map[string]uint64 {
	counts := make(map[string]uint64, len(t.reasons))
	for i, reason := range t.reasons {
		counts[reason] = t.counts[i].Load()
	}
	return counts
}

// durationBounds are the upper bounds of what durations tells apart: from a
// store in memory to one that is about to time out.
var durationBounds = [...]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// durations is a histogram.
type durations struct {
	counts [len(durationBounds) + 1]atomic.Uint64 // the last of what is longer
	sum    atomic.Int64
}

func (h *durations) observe(d time.Duration) {
	i := 0
	for i < len(durationBounds) && d > durationBounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// cumulative returns how many were no longer than each bound, in seconds, how
// many there were, and the sum of all.
func (h *durations) cumulative() (buckets map[float64]uint64, count uint64, sum time.Duration) {
	buckets = make(map[float64]uint64, len(durationBounds))
	for i, bound := range durationBounds {
		count += h.counts[i].Load()
		buckets[bound.Seconds()] = count
	}
	count += h.counts[len(durationBounds)].Load()
	return buckets, count, time.Duration(h.sum.Load())
}
