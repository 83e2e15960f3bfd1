package hub

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// deletions are the newest messages that moderators deleted in a room, for clients
// that may show them.
type deletions struct {
	mu    sync.Mutex
	total atomic.Int64
	ids   []store.ID // at most maxDeletions, oldest first
}

// maxDeletions is how many ids are kept per room.
const maxDeletions = 256

func (d *deletions) add(id store.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total.Add(1)
	if len(d.ids) == maxDeletions {
		d.ids = slices.Clone(d.ids[1:])
	}
	d.ids = append(d.ids, id)
}

// since returns the kept ids after the first n deletions, and the total count.
func (d *deletions) since(n int64) ([]store.ID, int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := d.total.Load()
	return d.ids[max(0, int64(len(d.ids))-(total-n)):], total
}
