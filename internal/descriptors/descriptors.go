// Package descriptors tells whether this process may open enough files and
// connections.
package descriptors

import "fmt"

const (
	// spareDescriptors is what Caddy needs beside streams: listeners, the admin
	// API, publishers, logs, a store.
	spareDescriptors = 200
	// fewDescriptors is a limit that streams without a limit soon reach.
	fewDescriptors = 4096
)

// Warning tells that streams may leave no descriptor for anything
// else, or returns "". A limit of 0 is not known, and no maximum of streams is
// 0.
func Warning(limit uint64, maxSubscribers int) string {
	const without = "without free descriptors, the admin API and caddy reload fail too"
	switch {
	case limit == 0:
		return ""
	case maxSubscribers == 0 && limit < fewDescriptors:
		return fmt.Sprintf("the limit of open files is %d, and the number of streams is not limited: %s; raise the limit (ulimit -n, LimitNOFILE), or set max_subscribers to no more than %d", limit, without, most(limit))
	case limit < uint64(maxSubscribers)+spareDescriptors:
		return fmt.Sprintf("the limit of open files is %d, too low for max_subscribers %d: %s; raise the limit (ulimit -n, LimitNOFILE), or set max_subscribers to no more than %d", limit, maxSubscribers, without, most(limit))
	}
	return ""
}

// most returns how many streams a limit of descriptors allows.
func most(limit uint64) uint64 {
	if limit <= 2*spareDescriptors {
		return limit / 2
	}
	return limit - spareDescriptors
}
