// Package notices keeps the newest notices of a room: what was changed in its messages,
// and taken back.
package notices

import (
	"slices"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Ring is the newest notices of a room, for readers with named events. They are beside
// the ring of messages, so that other readers have nothing to skip. Its methods must not be
// called at the same time, but for ChangedAfter and Withdrawn.
type Ring struct {
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

// Size returns how many bytes the notices have.
func (n *Ring) Size() int { return n.ring.Bytes() + n.bytes }

// Push appends a notice and drops what it supersedes. now is the message after the
// change; nil if it is gone.
func (n *Ring) Push(notice, now *store.Message) {
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
	if notice.Withdraws() {
		n.withdrawn.Add(1)
	}
}

// begin returns the oldest id of what a notice says, including what it has superseded.
func (n *Ring) begin(notice *store.Message) store.ID {
	if since, ok := n.since[notice.ID]; ok {
		return since
	}
	return notice.ID
}

// replace sets what the message that a notice is about is now; nil if it is gone.
func (n *Ring) replace(notice, now *store.Message) {
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
func (n *Ring) drop(id store.ID) {
	if m := n.now[id]; m != nil {
		n.bytes -= len(m.Frame())
		delete(n.now, id)
	}
}

// Shorten drops the oldest notices while there are more than so many, or more bytes.
// Readers that have fallen behind that read the store.
func (n *Ring) Shorten(most, bytes int) {
	for n.ring.Len() > most || n.ring.Len() > 0 && n.Size() > bytes {
		oldest := n.ring.Shift()
		n.floor = oldest.ID
		delete(n.since, oldest.ID)
		if now := n.now[oldest.About()]; now != nil && !now.Revision().After(oldest.ID) {
			n.drop(now.ID)
		}
	}
}

// After appends the notices newer than one id, up to another, until they have limit
// bytes. Of each message, the newest delta that begins no later than whole is replaced by
// the whole message, and all older ones are left out. It reports false if the ring does not
// reach back to the first id.
func (n *Ring) After(dst []*store.Message, after, upTo, whole store.ID, limit int) ([]*store.Message, bool) {
	if n.floor.After(after) {
		return dst, false
	}
	first, end := n.ring.After(after), n.ring.After(upTo)
	var last map[store.ID]store.ID // the newest such delta of each message
	// those that have superseded others may begin before the first id
	if whole.After(after) || len(n.since) > 0 {
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

// Clear removes all notices.
func (n *Ring) Clear() {
	n.ring.Clear()
	n.now, n.since, n.bytes = nil, nil, 0
}

// needsWhole reports whether a reader who may lack changes up to whole cannot apply a
// notice.
func (n *Ring) needsWhole(m *store.Message, whole store.ID) bool {
	return m.IsDelta() && !n.begin(m).After(whole)
}

// Lack says that the ring may lack notices up to an id.
func (n *Ring) Lack(upTo store.ID) { n.floor = store.Newest(n.floor, upTo) }

// ChangedAfter reports whether there is a notice newer than an id, or was one. It may be
// called at any time.
func (n *Ring) ChangedAfter(id store.ID) bool {
	newest := n.newest.Load()
	return newest != nil && newest.After(id)
}

// MayHaveChanged reports whether something may have changed since an id.
func (n *Ring) MayHaveChanged(since store.ID) bool {
	return n.floor.After(since) || n.ChangedAfter(since)
}

// Withdrawn counts the notices after which nobody should get an earlier state of a message
// any more. It may be called at any time.
func (n *Ring) Withdrawn() int64 { return n.withdrawn.Load() }

// WithdrawnFrom reports whether one of some messages, sorted by id, was deleted or replaced
// since an id, or may have been. room is the ring's; the messages may be of several.
func (n *Ring) WithdrawnFrom(room string, messages []*store.Message, since store.ID) bool {
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
			return id == notice.About() || notice.IsForgotten() && m.Room == room && !id.After(notice.About())
		})
		if found {
			return true
		}
	}
	return false
}
