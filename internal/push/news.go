package push

import (
	"maps"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// maxNews is how much news is queued. Beyond that, nothing that waits is pushed.
	maxNews = 10_000
	// keptNews is from how much news on that of other messages is forgotten.
	keptNews = 1000
)

// news is what became of messages since they came: nobody is pushed what was deleted, or what a
// message said before it was changed.
type news struct {
	wanted    bool                        // whether any message waits
	lost      bool                        // whether there was too much of it
	changed   map[store.ID]*store.Message // as they are now; nil for a deleted one
	forgotten map[string]store.ID         // rooms, and up to where they were forgotten
	notices   map[store.ID]*notice        // of changed, made when first needed
}

func (n *news) size() int { return len(n.changed) + len(n.forgotten) }

// grow makes the maps, if need be.
func (n *news) grow() {
	if n.changed == nil {
		n.changed, n.forgotten = make(map[store.ID]*store.Message), make(map[string]store.ID)
		n.notices = make(map[store.ID]*notice)
	}
}

// add adds later news.
func (n *news) add(later news) {
	n.grow()
	for id, now := range later.changed {
		n.changed[id] = now
		delete(n.notices, id)
	}
	maps.Copy(n.forgotten, later.forgotten)
}

// keep forgets news of other messages than these.
func (n *news) keep(waiting map[store.ID]*notice) {
	rooms := make(map[string]bool)
	for _, what := range waiting {
		rooms[what.room] = true
	}
	maps.DeleteFunc(n.changed, func(id store.ID, _ *store.Message) bool { return waiting[id] == nil })
	maps.DeleteFunc(n.notices, func(id store.ID, _ *notice) bool { return waiting[id] == nil })
	maps.DeleteFunc(n.forgotten, func(room string, _ store.ID) bool { return !rooms[room] })
}

// current returns a message as it is now, or nil if it is gone. What was changed is prepared
// once for all whom it is pushed to.
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
	made := n.notices[old.id]
	if made == nil {
		made = noticeOf(now, old.at)
		n.notices[old.id] = made
	}
	return made
}
