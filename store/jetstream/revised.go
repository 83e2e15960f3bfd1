package jetstream

import (
	"slices"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// maxRevised is how many revisions an index holds. Beyond that, it discards all of them.
// Those of a room are loaded again when they are needed.
const maxRevised = 1 << 20

// revised is what a node knows of the changes in all rooms: the last revision of each
// message that was changed or deleted. The messages themselves stay in the stream. It is
// not safe for concurrent use.
type revised struct {
	rooms map[string]*revisedRoom
	size  int // number of revisions in all rooms
	// since is the newest id of the stream when the node began to record changes. The
	// older ones of a room are only known once they have been loaded.
	since store.ID
	// unknown is the newest deletion that was discarded because there were too many in
	// its room.
	unknown store.ID
	// garbage are the rooms of which the stream has revisions that nobody needs, with the
	// newest of these.
	garbage map[string]store.ID
}

// revisedRoom is the part of one room.
type revisedRoom struct {
	list revisions.List
	last map[uint64]store.ID // revisions of messages that are kept, by the sequences of the messages
	// loaded is set if all revisions are known, and not only the new ones.
	loaded bool
	// unknown is the newest deletion that is not known, see revision.lost. It is marked
	// once the stream says so, in an entry with the id mark.
	unknown store.ID
	marked  bool
	mark    store.ID
}

func newRevised(since store.ID) revised {
	return revised{rooms: make(map[string]*revisedRoom), since: since, garbage: make(map[string]store.ID)}
}

func (x *revised) room(name string) *revisedRoom {
	r := x.rooms[name]
	if r == nil {
		r = &revisedRoom{last: make(map[uint64]store.ID)}
		x.rooms[name] = r
	}
	return r
}

// covers reports whether all revisions of a room are known that were made after an id.
// These include all revisions of messages that are newer than it.
func (x *revised) covers(name string, after store.ID) bool {
	if !x.since.After(after) {
		return true
	}
	r := x.rooms[name]
	return r != nil && r.loaded
}

// newest returns the newest known revision of a room, or the zero ID.
func (x *revised) newest(name string) store.ID {
	if r := x.rooms[name]; r != nil {
		return r.list.Newest()
	}
	return store.ID{}
}

// of returns the last revision of a message, or the zero ID if it was never changed.
func (x *revised) of(name string, message store.ID) store.ID {
	if r := x.rooms[name]; r != nil {
		return r.last[message.N]
	}
	return store.ID{}
}

// change records the newest revision of a message. The latest id of the stream is its own.
func (x *revised) change(name string, message, at store.ID) {
	x.bound(at)
	r := x.room(name)
	x.update(r, func() {
		r.list.Change(r.last[message.N], revisions.Revision{At: at, ID: message})
		r.last[message.N] = at
	})
}

// delete records that a message was deleted, in a room that keeps count messages and has
// lost those up to lost.
func (x *revised) delete(name string, message, at store.ID, count int, lost store.ID) {
	x.bound(at)
	r := x.room(name)
	x.update(r, func() {
		r.list.Change(r.last[message.N], revisions.Revision{At: at, ID: message, Kind: revisions.Deleted})
		delete(r.last, message.N)
		r.list.Limit(count, lost)
	})
	x.noteUnknown(name, r)
}

// noteUnknown records the newest deletion of which there were too many in a room.
func (x *revised) noteUnknown(name string, r *revisedRoom) {
	if unknown := r.list.Unknown(); unknown.After(r.unknown) {
		r.unknown, r.marked, x.unknown = unknown, false, store.Newest(x.unknown, unknown)
		x.discarded(name, unknown)
	}
}

// discarded records that a revision of a room is in the stream only.
func (x *revised) discarded(name string, at store.ID) {
	x.garbage[name] = store.Newest(x.garbage[name], at)
}

// update changes a room and keeps account of its size.
func (x *revised) update(r *revisedRoom, change func()) {
	x.size -= r.list.Len()
	change()
	x.size += r.list.Len()
}

// bound discards everything if there is too much of it. latest is the stream's latest id.
func (x *revised) bound(latest store.ID) {
	if x.size >= maxRevised {
		x.rooms, x.size, x.since = make(map[string]*revisedRoom), 0, latest
	}
}

// cut forgets the revision of one message.
func (x *revised) cut(name string, message store.ID) {
	r := x.rooms[name]
	if r == nil {
		return
	}
	if at, changed := r.last[message.N]; changed {
		x.update(r, func() { r.list.Remove(at) })
		delete(r.last, message.N)
		x.discarded(name, at)
	}
}

// expire forgets the revisions of a room's messages up to through. The stream still has
// them.
func (x *revised) expire(name string, through store.ID) {
	r := x.rooms[name]
	if r == nil {
		return
	}
	x.update(r, func() {
		for _, rev := range r.list.After(store.ID{}) {
			if !rev.ID.After(through) {
				delete(r.last, rev.ID.N)
				x.discarded(name, rev.At)
			}
		}
		r.list.Expire(through)
	})
}

// trim is expire for a room that loses one message after the other. It looks at the
// revisions only when the oldest one goes.
func (x *revised) trim(name string, lost []store.ID) {
	r := x.rooms[name]
	if r == nil || r.list.Len() == 0 {
		return
	}
	for _, id := range lost {
		x.cut(name, id)
	}
	if all := r.list.After(store.ID{}); len(all) > 0 && !all[0].ID.After(lost[len(lost)-1]) {
		x.expire(name, lost[len(lost)-1])
	}
}

// latecomers returns the sequences of the revisions of a room's messages up to through
// that were made after that.
func (x *revised) latecomers(name string, through uint64) (list []uint64) {
	if r := x.rooms[name]; r != nil {
		for _, rev := range r.list.After(store.ID{}) {
			if rev.ID.N <= through && rev.At.N > through {
				list = append(list, rev.At.N)
			}
		}
	}
	return list
}

// mark records that the stream says at an id that deletions up to lost are not known any
// more.
func (x *revised) mark(name string, lost, at store.ID) {
	r := x.room(name)
	r.mark = at
	r.marked = !r.unknown.After(lost)
	r.unknown = store.Newest(r.unknown, lost)
}

// unmarked returns the newest deletion that is not known any more if the stream does not
// say so yet, or the zero ID.
func (x *revised) unmarked(name string) store.ID {
	if r := x.rooms[name]; r != nil && !r.marked {
		return r.unknown
	}
	return store.ID{}
}

// needed returns the oldest entry that a room needs of those that are no revisions of
// messages that are kept, or the zero ID. lost is the newest message that it has lost.
func (x *revised) needed(name string, lost store.ID) store.ID {
	r := x.rooms[name]
	if r == nil {
		return store.ID{}
	}
	var oldest store.ID
	if r.mark.After(lost) {
		oldest = r.mark
	}
	for _, rev := range r.list.After(store.ID{}) {
		if rev.Kind == revisions.Deleted && rev.ID.After(lost) {
			if oldest.IsZero() || oldest.After(rev.At) {
				oldest = rev.At
			}
			break
		}
	}
	return oldest
}

// lost returns the newest deletion in a room that is not known any more, or the zero ID.
func (x *revised) lost(name string) store.ID {
	if r := x.rooms[name]; r != nil {
		return r.unknown
	}
	return x.unknown
}

// fill completes a room with the revisions that were read from the stream, one of each
// message.
func (x *revised) fill(name string, older []revisions.Revision, count int) {
	r := x.room(name)
	if r.loaded {
		return
	}
	known := make(map[store.ID]bool)
	all := slices.Clone(r.list.After(store.ID{}))
	for _, rev := range all {
		known[rev.ID] = true
	}
	for _, rev := range older {
		if !known[rev.ID] {
			all = append(all, rev)
		}
	}
	slices.SortFunc(all, func(a, b revisions.Revision) int { return a.At.Compare(b.At) })
	x.update(r, func() {
		r.list = revisions.List{}
		for _, rev := range all {
			r.list.Change(store.ID{}, rev)
			if rev.Kind == revisions.Changed {
				r.last[rev.ID.N] = rev.At
			}
		}
		r.list.Limit(count, store.ID{})
	})
	x.noteUnknown(name, r)
	r.loaded = true
}

// in returns the revisions of a room of which a reader has to be told in a span. lost is
// the newest message that the room has lost.
func (x *revised) in(name string, span store.Span, lost store.ID) (found []revisions.Revision) {
	r := x.rooms[name]
	if r == nil {
		return nil
	}
	for _, rev := range r.list.After(span.After) {
		if rev.At.After(span.UpTo) {
			break
		}
		if rev.IsIn(span, lost) {
			found = append(found, rev)
		}
	}
	return found
}
