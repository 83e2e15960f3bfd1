package push

import (
	"maps"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// news is what became of messages since they came: nobody is pushed what was deleted, or what a
// message said before it was changed.
type news struct {
	wanted    bool                        // whether any message waits
	changed   map[store.ID]*store.Message // as they are now; nil for a deleted one
	forgotten map[string]store.ID         // rooms, and up to where they were forgotten
}

// add adds later news.
func (n *news) add(later news) {
	if n.changed == nil {
		n.changed, n.forgotten = make(map[store.ID]*store.Message), make(map[string]store.ID)
	}
	maps.Copy(n.changed, later.changed)
	maps.Copy(n.forgotten, later.forgotten)
}

// current returns a message as it is now, or nil if it is gone.
func (n *news) current(old *notice) *notice {
	if through, ok := n.forgotten[old.room]; ok && !old.id.After(through) {
		return nil
	}
	now, ok := n.changed[old.id]
	switch {
	case !ok:
		return old
	case now == nil:
		return nil
	}
	return noticeOf(now, old.at)
}
