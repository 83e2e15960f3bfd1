package hub

import (
	"slices"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// notices are a room's newest changes, for readers with named events. They are beside
// the ring of messages, so that other readers have nothing to skip. The room's mu guards
// what is not atomic.
type notices struct {
	ring store.Log
	// floor is the newest id that the ring of notices may lack.
	floor store.ID
	// now has the messages that the deltas in the ring are about, as they are now.
	now   map[store.ID]*store.Message
	bytes int // of the messages in now
	// since has, for notices that have superseded others, the oldest id of those.
	since map[store.ID]store.ID
	// newest is the id of the newest notice; nil if there was none since the room was
	// made.
	newest atomic.Pointer[store.ID]
	// withdrawn counts the notices after which nobody should get an earlier state of a
	// message any more.
	withdrawn atomic.Int64
}

// size returns how many bytes the notices have.
func (n *notices) size() int { return n.ring.Bytes() + n.bytes }

// push appends a notice and drops what it supersedes. now is the message after the
// change; nil if it is gone.
func (n *notices) push(notice, now *store.Message) {
	if notice.Replaces() {
		since := notice.ID
		n.ring.RemoveFunc(func(earlier *store.Message) bool {
			if !notice.Supersedes(earlier) {
				return false
			}
			since = store.Oldest(since, n.begin(earlier))
			delete(n.since, earlier.ID)
			return true
		})
		if since != notice.ID {
			if n.since == nil {
				n.since = make(map[store.ID]store.ID)
			}
			n.since[notice.ID] = since
		}
	}
	n.replace(notice, now)
	n.ring.Push(notice)
	n.newest.Store(&notice.ID)
}

// begin returns the oldest id of what a notice says, including what it has superseded.
func (n *notices) begin(notice *store.Message) store.ID {
	if since, ok := n.since[notice.ID]; ok {
		return since
	}
	return notice.ID
}

// replace sets what the message that a notice is about is now; nil if it is gone.
func (n *notices) replace(notice, now *store.Message) {
	switch {
	case notice.IsForgotten():
		for id := range n.now {
			if !id.After(notice.About()) {
				n.drop(id)
			}
		}
	case now == nil:
		n.drop(notice.About())
	default:
		n.drop(now.ID)
		if n.now == nil {
			n.now = make(map[store.ID]*store.Message)
		}
		n.now[now.ID] = now
		n.bytes += len(now.Frame())
	}
}

// drop forgets what a message is now.
func (n *notices) drop(id store.ID) {
	if m := n.now[id]; m != nil {
		n.bytes -= len(m.Frame())
		delete(n.now, id)
	}
}

// shorten drops the oldest notices while there are more than so many, or more bytes.
// Readers that have fallen behind that read the store.
func (n *notices) shorten(most, bytes int) {
	for n.ring.Len() > most || n.ring.Len() > 0 && n.size() > bytes {
		oldest := n.ring.Shift()
		n.floor = oldest.ID
		delete(n.since, oldest.ID)
		if now := n.now[oldest.About()]; now != nil && !now.Revision().After(oldest.ID) {
			n.drop(now.ID)
		}
	}
}

// after appends the notices newer than one id, up to another, until they have limit
// bytes. Of each message, the newest delta that begins no later than whole is replaced by
// the whole message, and all older ones are left out. It reports false if the ring does not
// reach back to the first id.
func (n *notices) after(dst []*store.Message, after, upTo, whole store.ID, limit int) ([]*store.Message, bool) {
	if n.floor.After(after) {
		return dst, false
	}
	first, end := n.ring.After(after), n.ring.After(upTo)
	var last map[store.ID]store.ID // the newest such delta of each message
	if whole.After(after) {
		last = make(map[store.ID]store.ID)
		for i := first; i < end; i++ {
			if m := n.ring.At(i); n.needsWhole(m, whole) {
				last[m.About()] = m.ID
			}
		}
	}
	size := 0
	for i := first; i < end && size < limit; i++ {
		m := n.ring.At(i)
		if at, ok := last[m.About()]; ok && m.IsDelta() {
			switch {
			case at.After(m.ID):
				continue
			case at == m.ID:
				m = store.NewWhole(m.ID, n.now[m.About()])
			}
		}
		dst = append(dst, m)
		size += len(m.Frame())
	}
	return dst, true
}

// clear removes all notices.
func (n *notices) clear() {
	n.ring.Clear()
	n.now, n.since, n.bytes = nil, nil, 0
}

// needsWhole reports whether a reader who may lack changes up to whole cannot apply a
// notice.
func (n *notices) needsWhole(m *store.Message, whole store.ID) bool {
	return m.IsDelta() && !n.begin(m).After(whole)
}

// changedAfter reports whether the room has a notice newer than an id.
func (r *room) changedAfter(id store.ID) bool {
	newest := r.notices.newest.Load()
	return newest != nil && newest.After(id)
}

// mayHaveChanged reports whether something may have changed in the room since an id.
func (r *room) mayHaveChanged(since store.ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.notices.floor.After(since) || r.changedAfter(since)
}

// withdrawnFrom reports whether one of some messages, sorted by id, was deleted or replaced
// since an id, or may have been.
func (r *room) withdrawnFrom(messages []*store.Message, since store.ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := &r.notices
	if n.floor.After(since) {
		return true
	}
	for i := n.ring.After(since); i < n.ring.Len(); i++ {
		notice := n.ring.At(i)
		if !notice.Withdraws() {
			continue
		}
		found := slices.ContainsFunc(messages, func(m *store.Message) bool {
			id := m.ID
			if m.IsNotice() {
				id = m.About()
			}
			return id == notice.About() || notice.IsForgotten() && m.Room == r.name && !id.After(notice.About())
		})
		if found {
			return true
		}
	}
	return false
}

// change replaces a message by what it is now, and appends the delta. It returns by how
// many bytes the rings grew, and whether they have to be trimmed later.
func (r *room) change(now, delta *store.Message, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	if r.ring.Replace(now) {
		if t := r.tip.Load(); t != nil && t.message.ID == now.ID {
			r.tip.Store(&tip{now, t.after})
		}
		r.shorten(bounds, all, delta.ID.Ms)
	}
	grown = int64(r.ring.Bytes() - before)
	return grown + r.pushNotice(delta, now, bounds, all), bounds.oversized(&r.ring)
}

// delete is change for a message that was deleted.
func (r *room) delete(id, at store.ID, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.ring.Remove(id)
	r.tip.Store(nil)
	grown = int64(r.ring.Bytes() - before)
	return grown + r.pushNotice(store.NewDeletion(at, r.name, id), nil, bounds, all), false
}

// forget is change for all messages up to an id that were forgotten. If at is zero they
// were lost, and there is no notice of that. Readers behind it have to ask the store.
func (r *room) forget(through, at store.ID, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.tip.Store(nil)
	for r.ring.Len() > 0 && !r.ring.At(0).ID.After(through) {
		r.ring.Shift()
	}
	r.floor = store.Newest(r.floor, through)
	grown = int64(r.ring.Bytes() - before)
	if !at.IsZero() {
		grown += r.pushNotice(store.NewForgotten(at, r.name, through), nil, bounds, all)
	}
	return grown, false
}

// pushNotice appends a notice, within bounds. all is the size of all rings. The caller
// holds mu.
func (r *room) pushNotice(notice, now *store.Message, bounds *bounds, all int64) int64 {
	n := &r.notices
	before := n.size()
	n.push(notice, now)
	most := bounds.ringMessages
	if all > bounds.allRingBytes {
		most = bounds.crowdedMessages
	}
	n.shorten(most, bounds.ringBytes)
	if notice.Withdraws() {
		n.withdrawn.Add(1)
	}
	return int64(n.size() - before)
}

// restart empties the rings, because the log may have something else up to an id. It
// returns by how many bytes they grew.
func (r *room) restart(upTo store.ID) int64 {
	grown := r.clear()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor = store.Newest(r.floor, upTo)
	r.notices.floor = store.Newest(r.notices.floor, upTo)
	return grown
}
