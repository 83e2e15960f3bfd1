package hub

import "github.com/sse-chat/caddy-sse-chat/store"

// gapReason is the reason for a gap, as "gap" events and metrics have it.
type gapReason string

const (
	gapNone     gapReason = ""
	gapExpired  gapReason = "expired"  // retention removed messages that follow the id
	gapUnknown  gapReason = "unknown"  // the id is not from this log
	gapSlow     gapReason = "slow"     // the reader was slower than retention
	gapRollback gapReason = "rollback" // the id is newer than this log, which is durable
)

var gapReasons = []gapReason{gapExpired, gapUnknown, gapSlow, gapRollback}

// classify classifies a client's Last-Event-ID. It returns the id to resume after
// and gapNone if the log covers it, otherwise why it does not.
func classify(lastEventID string, log store.State) (store.ID, gapReason) {
	id, err := store.ParseID(lastEventID)
	switch {
	case err != nil, log.Origin.After(id):
		return store.ID{}, gapUnknown
	case !id.After(log.Latest):
		return id, gapNone
	case log.Durable:
		return store.ID{}, gapRollback
	default:
		return store.ID{}, gapUnknown
	}
}

// hasUnreportedLoss reports whether a reader at cursor has lost messages that it
// was not told of. lost is the newest lost message of each of its rooms; reported
// is what lost was at the last report, or nil.
func hasUnreportedLoss(cursor store.ID, reported, lost []store.ID) bool {
	for i, id := range lost {
		if id.After(cursor) && (reported == nil || id.After(reported[i])) {
			return true
		}
	}
	return false
}
