package webhook

import (
	"slices"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// How much a tail holds. Beyond that, the site is behind, and the store is read.
const (
	maxTail      = 1024
	maxTailBytes = 1 << 20
	// maxSpilled is how many rooms of older entries it remembers.
	maxSpilled = 1 << 17
)

// tail is the newest entries of the log, as they are now, so that a site that keeps up costs
// no reads from the store. Of older ones it knows only in which rooms they are. Its methods
// may be called by several goroutines at the same time.
type tail struct {
	woken chan struct{} // wakes who waits for entries

	mu      sync.Mutex // guards all below
	entries []entry    // oldest first; some are of the kind nothing
	bytes   int        // of their messages
	// begin is where the entries begin: all newer ones are there.
	begin store.ID
	// spilled is the rooms of entries that are not there any more, with the oldest of each.
	spilled map[string]store.ID
	// changes has where the last change of a message is among the entries.
	changes map[store.ID]store.ID
	// missed is set if any room may have entries up to begin that are not there, and have not
	// spilled. rolledBack is set if the log has lost some.
	missed, rolledBack bool
}

func newTail() *tail {
	return &tail{woken: make(chan struct{}, 1), spilled: make(map[string]store.ID), changes: make(map[store.ID]store.ID)}
}

// follow sets where the log was when the first entries came. Some may have come already.
func (t *tail) follow(latest store.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin = store.Newest(t.begin, latest)
}

// news is what a tail has for a reader.
type news struct {
	entries []entry
	// behind is set if the tail has dropped entries that the reader lacks. Then it must read
	// rooms from the store, up to upTo.
	behind bool
	upTo   store.ID
	rooms  map[string]store.ID
	// missed and rolledBack are as in tail; they are told once.
	missed, rolledBack bool
}

// after returns what there is after an id, at most limit entries.
func (t *tail) after(id store.ID, limit int) news {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.missed || len(t.spilled) > 0 || t.begin.After(id) {
		n := news{behind: true, upTo: t.begin, rooms: t.spilled, missed: t.missed, rolledBack: t.rolledBack}
		t.spilled, t.missed, t.rolledBack = make(map[string]store.ID), false, false
		return n
	}
	var n news
	for i, _ := t.find(id.Next()); i < len(t.entries) && len(n.entries) < limit; i++ {
		if t.entries[i].kind != nothing {
			n.entries = append(n.entries, t.entries[i])
		}
	}
	return n
}

// release drops the entries up to an id, which the site has.
func (t *tail) release(id store.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.entries) > 0 && !t.entries[0].at.After(id) {
		t.drop()
	}
	t.begin = store.Newest(t.begin, id)
}

// find returns the index of the first entry at an id or later, and whether it is at the id.
func (t *tail) find(id store.ID) (int, bool) {
	return slices.BinarySearchFunc(t.entries, id, func(e entry, id store.ID) int { return e.at.Compare(id) })
}

// drop removes the oldest entry.
func (t *tail) drop() {
	t.clear(0)
	t.entries[0] = entry{}
	t.entries = t.entries[1:]
}

// spill drops the oldest entry, and notes its room, because it is still to be told.
func (t *tail) spill() {
	e := &t.entries[0]
	t.begin = e.at
	if _, noted := t.spilled[e.room]; !noted && e.kind != nothing {
		t.spilled[e.room] = e.at
	}
	if len(t.spilled) > maxSpilled {
		t.spilled, t.missed = make(map[string]store.ID), true
	}
	t.drop()
}

// push adds the newest entry. The caller holds mu.
func (t *tail) push(e entry) {
	t.entries = append(t.entries, e)
	t.bytes += e.size()
	for len(t.entries) > maxTail || t.bytes > maxTailBytes {
		t.spill()
	}
	wake.Up(t.woken)
}

// clear makes an entry nothing.
func (t *tail) clear(i int) {
	e := &t.entries[i]
	if e.kind == changed && t.changes[e.id] == e.at {
		delete(t.changes, e.id)
	}
	t.bytes -= e.size()
	e.kind, e.message = nothing, nil
}

// forgetChange makes the last change of a message nothing.
func (t *tail) forgetChange(id store.ID) {
	if at, known := t.changes[id]; known {
		if i, found := t.find(at); found {
			t.clear(i)
		}
		delete(t.changes, id)
	}
}

func (e *entry) size() int {
	if e.message == nil {
		return 0
	}
	return len(e.message.Frame())
}

// Delivered implements [hub.Follower].
func (t *tail) Delivered(messages []*store.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range messages {
		t.push(entryOf(m))
	}
}

// Changed implements [hub.Follower].
func (t *tail) Changed(now *store.Message, at store.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, found := t.find(now.ID); found && t.entries[i].kind == published {
		t.bytes += len(now.Frame()) - t.entries[i].size()
		t.entries[i].message = now
	}
	t.forgetChange(now.ID)
	t.changes[now.ID] = at
	t.push(entry{at: at, kind: changed, room: now.Room, id: now.ID, message: now})
}

// Deleted implements [hub.Follower].
func (t *tail) Deleted(room string, id, at store.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, found := t.find(id); found && t.entries[i].kind == published {
		t.clear(i)
	}
	t.forgetChange(id)
	t.push(entry{at: at, kind: deleted, room: room, id: id})
}

// Forgotten implements [hub.Follower].
func (t *tail) Forgotten(room string, through, at store.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.IsZero() {
		return // a room was dropped: what the site is behind is still here, or the store finds its loss
	}
	for i := range t.entries {
		if e := &t.entries[i]; e.room == room && !e.id.After(through) {
			t.clear(i)
		}
	}
	t.push(entry{at: at, kind: forgotten, room: room, id: through})
}

// Missed implements [hub.Follower].
func (t *tail) Missed(latest store.ID, rollback bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.entries) > 0 {
		t.spill()
	}
	t.begin = store.Newest(t.begin, latest)
	t.missed, t.rolledBack = true, t.rolledBack || rollback
	wake.Up(t.woken)
}

// Interface guard
var _ hub.Follower = (*tail)(nil)
