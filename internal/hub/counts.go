package hub

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// The reasons why a request to publish was refused, as metrics and the admin API
// have them.
const (
	RejectInvalid     = "invalid"      // not a valid request, or not an allowed one
	RejectTooLarge    = "too_large"    // text or body too long
	RejectTooFast     = "too_fast"     // over the rate limit
	RejectCrossOrigin = "cross_origin" // from a page of an untrusted origin
	RejectStore       = "store"        // the store is down
)

var rejectReasons = []string{RejectInvalid, RejectTooLarge, RejectTooFast, RejectCrossOrigin, RejectStore}

// Counts are a hub's counters since it was opened. They may be read at any time;
// each is exact, but they are not a snapshot of one moment.
type Counts struct {
	Subscribers atomic.Int64         // open streams
	Opened      atomic.Uint64        // streams opened
	Closed      Tally                // streams closed, by EndReasons
	Refused     Tally                // streams refused, by refuseReasons
	Published   atomic.Uint64        // messages stored, without repeats
	Changed     Tally                // changes of messages, by kind; see store.ChangeKinds
	Rejected    Tally                // requests to publish refused, by rejectReasons
	Gaps        Tally                // gaps reported to readers, by gapReasons
	Appends     prometheus.Histogram // duration of the store's Append and Change, in seconds
	deliveries  [16]deliveries
}

func newCounts() Counts {
	return Counts{
		Closed:   newTally(EndReasons),
		Refused:  newTally(refuseReasons),
		Changed:  newTally(store.ChangeKinds),
		Rejected: newTally(rejectReasons),
		Gaps:     newTally(gapReasons),
		Appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "store_seconds",
			Help: "How long the store took, in seconds.",
			// from a store in memory to one that nearly times out
			Buckets: []float64{
				0.00001, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
			},
		}),
	}
}

// deliveries counts the messages that some of a hub's streams were sent. There are
// several shards, so that cores do not contend at each delivery.
type deliveries struct {
	delivered, replayed atomic.Uint64
	_                   [48]byte // pads the shard to a cache line
}

// open counts a new stream and returns the shard for its deliveries.
func (c *Counts) open() *deliveries {
	return &c.deliveries[c.Opened.Add(1)%uint64(len(c.deliveries))]
}

// Delivered returns how many messages were sent, counted once per reader, and how
// many of these were older than their stream.
func (c *Counts) Delivered() (all, replayed uint64) {
	for i := range c.deliveries {
		all += c.deliveries[i].delivered.Load()
		replayed += c.deliveries[i].replayed.Load()
	}
	return all, replayed
}

// Tally counts by reason, of which there is a small fixed set. Its methods are safe
// for concurrent use.
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

// Add increments the count of a reason. It ignores unknown reasons.
func (t *Tally) Add(reason string) {
	for i, r := range t.reasons {
		if r == reason {
			t.counts[i].Add(1)
		}
	}
}

// ByReason returns the counts as a new map, zeros included.
func (t *Tally) ByReason() map[string]uint64 {
	counts := make(map[string]uint64, len(t.reasons))
	for i, reason := range t.reasons {
		counts[reason] = t.counts[i].Load()
	}
	return counts
}
