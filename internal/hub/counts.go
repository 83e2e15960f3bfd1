package hub

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a message was not taken, as operators are told.
const (
	RejectInvalid     = "invalid"
	RejectTooLarge    = "too_large"
	RejectTooFast     = "too_fast"
	RejectCrossOrigin = "cross_origin"
	RejectStore       = "store"
)

var rejectReasons = []string{RejectInvalid, RejectTooLarge, RejectTooFast, RejectCrossOrigin, RejectStore}

// Counts are what operators see of a hub since it was opened. They are read
// while they change; each by itself is right.
type Counts struct {
	Subscribers atomic.Int64
	Opened      atomic.Uint64
	Closed      Tally // by endReasons
	Refused     Tally // by refuseReasons
	Published   atomic.Uint64
	Rejected    Tally                // by rejectReasons
	Gaps        Tally                // by gapReasons
	Appends     prometheus.Histogram // seconds that the store took
	deliveries  [16]deliveries
}

func newCounts() Counts {
	return Counts{
		Closed:   newTally(EndReasons),
		Refused:  newTally(refuseReasons),
		Rejected: newTally(rejectReasons),
		Gaps:     newTally(gapReasons),
		Appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "store_seconds",
			Help: "How long the store took, in seconds.",
			// from a store in memory to one that is about to time out
			Buckets: []float64{
				0.00001, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
			},
		}),
	}
}

// deliveries count what goes out to some of a hub's streams. There are several
// of them, so that cores do not wait for each other at each delivery.
type deliveries struct {
	delivered, replayed atomic.Uint64
	_                   [48]byte // no two share a cache line
}

// open counts a stream and returns where to count what goes out to it.
func (c *Counts) open() *deliveries {
	return &c.deliveries[c.Opened.Add(1)%uint64(len(c.deliveries))]
}

// Delivered returns how many messages went out, and how many of these were
// older than the stream that they went to.
func (c *Counts) Delivered() (all, replayed uint64) {
	for i := range c.deliveries {
		all += c.deliveries[i].delivered.Load()
		replayed += c.deliveries[i].replayed.Load()
	}
	return all, replayed
}

// Tally counts by reason. The reasons are few and known beforehand.
type Tally struct {
	reasons []string
	counts  []atomic.Uint64
}

func newTally[R ~string](reasons []R) Tally {
	t := Tally{counts: make([]atomic.Uint64, len(reasons))}
	for _, reason := range reasons {
		t.reasons = append(t.reasons, string(reason))
	}
	return t
}

// Add counts one more. What has no known reason is not counted.
func (t *Tally) Add(reason string) {
	for i, r := range t.reasons {
		if r == reason {
			t.counts[i].Add(1)
		}
	}
}

// ByReason returns a copy of the counts.
func (t *Tally) ByReason() map[string]uint64 {
	counts := make(map[string]uint64, len(t.reasons))
	for i, reason := range t.reasons {
		counts[reason] = t.counts[i].Load()
	}
	return counts
}
