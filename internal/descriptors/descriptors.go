// Package descriptors checks whether this process may open enough files and
// connections.
package descriptors

import "fmt"

const (
	// spareDescriptors is how many Caddy needs beside streams: for listeners, the
	// admin API, publishers, logs and a store.
	spareDescriptors = 200
	// fewDescriptors is a limit that an unlimited number of streams soon reaches.
	fewDescriptors = 4096
)

// Warning returns a warning if streams may use up all descriptors, otherwise "". A
// limit of 0 is unknown, and a maxSubscribers of 0 is no limit.
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
