package push

import (
	"slices"
	"sync/atomic"
)

// Why requests to push services failed, as metrics have it.
const (
	reasonGone        = "gone"        // the subscription has ended
	reasonRejected    = "rejected"    // another 4xx, or a redirect
	reasonTooMany     = "too_many"    // 429
	reasonUnavailable = "unavailable" // 5xx
	reasonNetwork     = "network"     // no connection, or no answer in time
	reasonAddress     = "address"     // the address is not public
	reasonStorage     = "storage"     // the key cannot be read
	reasonDropped     = "dropped"     // too many messages wait, or one was tried too often
)

var reasons = [...]string{reasonGone, reasonRejected, reasonTooMany, reasonUnavailable, reasonNetwork, reasonAddress, reasonStorage, reasonDropped}

// Counts are the counters of a sender. They may be read at any time.
type Counts struct {
	// Sent counts what push services have accepted.
	Sent   atomic.Uint64
	failed [len(reasons)]atomic.Uint64
}

func (c *Counts) fail(reason string) { c.failed[slices.Index(reasons[:], reason)].Add(1) }

// Failed returns how often requests failed by reason, as a new map, zeros included.
func (c *Counts) Failed() map[string]uint64 {
	failed := make(map[string]uint64, len(reasons))
	for i, reason := range reasons {
		failed[reason] = c.failed[i].Load()
	}
	return failed
}
