package hub

import "github.com/sse-chat/caddy-sse-chat/store"

// tip is the newest message of a room, and the newest before it.
type tip struct {
	message *store.Message
	after   store.ID
}

// push adds the newest message. It returns by how many bytes the ring grew and
// whether it is longer than usual now. all is the size of all rings.
func (r *room) push(m *store.Message, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	after := r.floor
	if n := r.ring.Len(); n > 0 {
		after = r.ring.At(n - 1).ID
	}
	r.ring.Push(m)
	r.tip.Store(&tip{m, after})
	r.shorten(bounds, all, m.ID.Ms)
	return int64(r.ring.Bytes() - before), bounds.oversized(&r.ring)
}

// trim does what push does when nothing is pushed any more.
func (r *room) trim(bounds *bounds, all, nowMs int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.shorten(bounds, all, nowMs)
	return int64(r.ring.Bytes() - before), bounds.oversized(&r.ring)
}

func (r *room) shorten(bounds *bounds, all, nowMs int64) {
	for bounds.tooLong(&r.ring, all, nowMs) {
		r.floor = r.ring.Shift().ID
	}
}

// delete removes one message and tells those who asked for named events. It
// returns by how many bytes the ring grew.
func (r *room) delete(id store.ID) int64 {
	r.mu.Lock()
	before := r.ring.Bytes()
	r.ring.Remove(id)
	r.tip.Store(nil)
	grown := int64(r.ring.Bytes() - before)
	r.mu.Unlock()

	r.deletions.add(id)
	r.wakeWatchers()
	return grown
}

// forget removes all messages up to an id.
func (r *room) forget(through store.ID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.tip.Store(nil)
	for r.ring.Len() > 0 && !r.ring.At(0).ID.After(through) {
		r.ring.Shift()
	}
	r.floor = store.Newest(r.floor, through)
	return int64(r.ring.Bytes() - before)
}

// release removes messages up to an id that the store holds no longer, to free
// their memory. Unlike forget it leaves readers of newer ones alone.
func (r *room) release(through store.ID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	if tip := r.tip.Load(); tip != nil && !tip.message.ID.After(through) {
		r.tip.Store(nil)
	}
	for r.ring.Len() > 0 && !r.ring.At(0).ID.After(through) {
		r.ring.Shift()
	}
	r.floor = store.Newest(r.floor, through)
	return int64(r.ring.Bytes() - before)
}

// clear empties the ring of a room that nobody will find any more.
func (r *room) clear() (grown int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	grown = -int64(r.ring.Bytes())
	r.ring.Clear()
	r.tip.Store(nil)
	return grown
}

// retained returns the newest id of which a reader who comes back with it may
// miss something in the ring under limits: what is older is kept only for
// readers who never left.
func (r *room) retained(limits store.Limits, nowMs int64) store.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := max(0, r.ring.Len()-limits.Count)
	if limits.Age > 0 {
		from = max(from, r.ring.After(store.ID{Ms: nowMs - limits.Age.Milliseconds(), N: ^uint64(0)}))
	}
	if from == 0 {
		return r.floor
	}
	return r.ring.At(from - 1).ID
}
