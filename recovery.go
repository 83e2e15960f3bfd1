package ssechat

import "github.com/sse-chat/caddy-sse-chat/store"

// judge tells what an id is worth that a client came back with: gapNone if
// what follows it can be found in a log, otherwise why nothing is known of it.
func judge(lastEventID string, log store.State) (store.ID, gapReason) {
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

// misses reports whether a reader at cursor has lost messages of which it was
// not told yet. lost is the newest message that each of its rooms has lost,
// told the same when it was last told, or nil.
func misses(cursor store.ID, told, lost []store.ID) bool {
	for i, id := range lost {
		if id.After(cursor) && (told == nil || id.After(told[i])) {
			return true
		}
	}
	return false
}
