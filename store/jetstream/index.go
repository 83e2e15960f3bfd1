package jetstream

import (
	"slices"
	"sort"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// maxIndexed is how many ids an index holds. Beyond that, it discards the ids of the
// rooms that have been idle longest. They are loaded again when they are needed.
const maxIndexed = 8 << 20

// index is what a node knows of the rooms of its stream: the ids of their messages,
// and what they have lost. The messages themselves stay in the stream. It is not
// safe for concurrent use.
//
// Of a room that had messages when the index began, it knows only newer ids until
// somebody reads older ones; see [knowledge].
type index struct {
	rooms map[string]*room
	idle  idle.Order[*room]
	size  int // number of ids in all rooms

	// begun is the newest id of the stream when the index began. No message that
	// was lost unnoticed is newer.
	begun store.ID
	// unknown is an id up to which any room may have lost messages.
	unknown store.ID
	// intact is set if the stream had lost nothing when the index began.
	intact bool

	deleted   map[uint64]struct{}  // sequences of deleted messages, which may still be in the stream
	deletions map[string]int       // number of deleted messages, by room
	forgotten map[string]forgotten // rooms that were removed
	changes   revised
}

// forgotten is what a room has lost that was removed.
type forgotten struct {
	lost store.ID // the newest lost message
	// at is when the room was last forgotten, and through its newest message then
	at, through store.ID
	// dropped is when the room was last removed to make place for another one. Nothing
	// is known of deletions before that.
	dropped store.ID
}

// newest returns the newest id of all.
func (f forgotten) newest() store.ID {
	return store.Newest(store.Newest(f.lost, f.at), f.dropped)
}

func newIndex() *index {
	return &index{
		rooms:     make(map[string]*room),
		deleted:   make(map[uint64]struct{}),
		deletions: make(map[string]int),
		forgotten: make(map[string]forgotten),
		changes:   newRevised(store.ID{}),
	}
}

// add returns the room called name, and adds it if it is new.
func (x *index) add(name string) *room {
	if r := x.rooms[name]; r != nil {
		return r
	}
	r := &room{name: name, lost: loss{id: x.forgotten[name].lost}}
	x.rooms[name] = r
	r.idle = x.idle.Add(r)
	return r
}

// expect records how many messages of a room the stream has when the index begins.
func (x *index) expect(name string, stored int) {
	r := x.add(name)
	r.known, r.stored, r.unseen = counted, stored, x.begun
}

// push adds the newest message of a room, which keeps at most count.
func (x *index) push(name string, id store.ID, count int) {
	if _, gone := x.deleted[id.N]; gone || !id.After(x.forgotten[name].lost) {
		return
	}
	r := x.rooms[name]
	if r == nil {
		r = x.add(name)
		r.lost.id = x.lostOf(name)
	}
	r.ids = append(r.ids, id)
	x.size++
	x.idle.Published(r.idle)
	x.trim(r, count)
	x.shrink(r)
}

// trim removes the oldest ids beyond count.
func (x *index) trim(r *room, count int) {
	if n := len(r.ids) - count; n > 0 {
		x.cut(r, n)
		r.known = complete // messages that are not known are beyond count too
	}
}

// cut removes the oldest n ids.
func (x *index) cut(r *room, n int) {
	if newest := r.ids[n-1]; newest.After(r.lost.id) {
		r.lost = loss{id: newest}
	}
	x.changes.trim(r.name, r.ids[:n])
	r.ids = slices.Delete(r.ids, 0, n)
	x.size -= n
}

// shrink discards the ids of the rooms that have been idle longest, except one, while
// the index holds too many.
func (x *index) shrink(except *room) {
	for r := range x.idle.All() {
		if x.size <= maxIndexed {
			return
		}
		if r != except {
			x.discard(r)
		}
	}
}

// discard forgets the ids of a room. They are loaded again when they are needed.
func (x *index) discard(r *room) {
	if n := len(r.ids); n > 0 {
		r.unseen = r.ids[n-1]
	}
	x.size -= len(r.ids)
	r.ids, r.known = nil, uncounted
}

// fill completes a room with the older ids that were read from the stream. Readers
// can see count messages of each room, and the stream keeps physical.
func (x *index) fill(name string, older []store.ID, count, physical int) {
	r := x.rooms[name]
	if r == nil || r.known == complete {
		return
	}
	if len(r.ids) > 0 {
		older = older[:sort.Search(len(older), func(i int) bool { return !r.ids[0].After(older[i]) })]
	}
	older = slices.DeleteFunc(slices.Clone(older), func(id store.ID) bool {
		// what was hidden stays hidden, because its revision is not known any more
		return x.isGone(name, id.N) || id.N <= r.lost.id.N
	})
	// a room that was never full has lost nothing unnoticed
	lost := loss{id: x.lostOf(name)}
	most := len(older) + len(r.ids)
	if r.known == counted {
		most = max(most, r.stored)
	}
	if r.known == uncounted || most+x.deletions[name] >= physical {
		lost.id = store.Newest(lost.id, r.unseen)
	}
	x.size += len(older)
	r.ids = append(older, r.ids...)
	if len(r.ids) > 0 && !r.ids[0].After(lost.id) {
		lost = loss{id: r.ids[0].Prev(), guessed: true}
	}
	if lost.id.After(r.lost.id) {
		r.lost = lost
	}
	r.known = complete
	x.changes.expire(name, r.lost.id)
	x.trim(r, count)
	x.shrink(r)
}

// lostOf returns the newest message that a room may have lost if the index does not
// hold it.
func (x *index) lostOf(name string) store.ID {
	return store.Newest(x.forgotten[name].lost, x.unknown)
}

// delete removes one message, at a revision, from a room that keeps count messages.
func (x *index) delete(name string, id, at store.ID, count int) {
	if !x.bury(name, id) {
		return
	}
	lost := x.lostOf(name)
	if r := x.rooms[name]; r != nil {
		lost = store.Newest(lost, r.lost.id)
	}
	x.changes.delete(name, id, at, count, lost)
}

// bury removes one message, and reports whether that was not known before.
func (x *index) bury(name string, id store.ID) bool {
	if _, gone := x.deleted[id.N]; gone {
		return false
	}
	x.deleted[id.N] = struct{}{}
	x.deletions[name]++
	if r := x.rooms[name]; r != nil {
		x.remove(r, id)
	}
	return true
}

// leftOver returns the sequences of those messages, read from the stream, that were
// deleted. Whoever deleted them could not erase them.
func (x *index) leftOver(ids []store.ID) (left []uint64) {
	for _, id := range ids {
		if _, deleted := x.deleted[id.N]; deleted {
			left = append(left, id.N)
		}
	}
	return left
}

// isGone reports whether a message is known to have been deleted or forgotten.
func (x *index) isGone(name string, seq uint64) bool {
	_, gone := x.deleted[seq]
	return gone || seq <= x.forgotten[name].lost.N
}

// remove removes an id and reports whether it was there.
func (x *index) remove(r *room, id store.ID) bool {
	i, found := slices.BinarySearchFunc(r.ids, id, store.ID.Compare)
	if found {
		r.ids = slices.Delete(r.ids, i, i+1)
		x.size--
	}
	return found
}

// removeLost removes a message that the stream does not have any more, and counts it
// as lost.
func (x *index) removeLost(name string, id store.ID) {
	r := x.rooms[name]
	if r != nil && x.remove(r, id) {
		r.lost.id = store.Newest(r.lost.id, id)
	}
}

// forget removes all messages of a room up to through.
func (x *index) forget(name string, through store.ID) {
	x.recordLoss(name, through)
	x.changes.expire(name, through)
	r := x.rooms[name]
	if r == nil {
		return
	}
	if n := r.after(through); n > 0 {
		x.cut(r, n)
	}
	r.lost.id = store.Newest(r.lost.id, through)
	if !x.begun.After(through) {
		r.known = complete
	}
	if len(r.ids) == 0 && r.known == complete {
		x.drop(r)
	}
}

// maxForgotten is how many entries index.forgotten has at most.
const maxForgotten = 100_000

// recordLoss remembers the newest lost message of a room that is removed.
func (x *index) recordLoss(name string, lost store.ID) {
	x.record(name, func(f *forgotten) { f.lost = store.Newest(f.lost, lost) })
}

// record changes what is remembered of a room that is removed.
func (x *index) record(name string, change func(*forgotten)) {
	if len(x.forgotten) >= maxForgotten {
		for _, f := range x.forgotten {
			x.unknown = store.Newest(x.unknown, f.newest())
		}
		clear(x.forgotten)
	}
	f := x.forgotten[name]
	change(&f)
	x.forgotten[name] = f
}

// dropEmpty removes a room without messages in the stream, unless new ones have been
// published meanwhile.
func (x *index) dropEmpty(name string) {
	r := x.rooms[name]
	if r == nil || r.known != complete && len(r.ids) > 0 {
		return
	}
	lost := r.lost.id
	if _, recorded := x.forgotten[name]; r.known != complete && !recorded {
		lost = store.Newest(lost, r.unseen)
	}
	x.recordLoss(name, lost)
	x.drop(r)
}

// drop removes a room. Its loss is recorded by the caller.
func (x *index) drop(r *room) {
	x.size -= len(r.ids)
	x.idle.Remove(r.idle)
	delete(x.rooms, r.name)
}

// expire removes the ids that are no newer than cutoff from all rooms.
func (x *index) expire(cutoff store.ID) {
	for name := range x.changes.rooms {
		x.changes.expire(name, cutoff)
	}
	for _, r := range x.rooms {
		if n := r.after(cutoff); n > 0 {
			x.cut(r, n)
		}
		if len(r.ids) == 0 && (r.known == complete || !x.begun.After(cutoff)) {
			x.recordLoss(r.name, r.lost.id)
			x.drop(r)
		}
	}
}

// restart discards all ids, because messages before upTo were published and removed
// again that this node has not read. stored is how many messages each room has now.
func (x *index) restart(upTo store.ID, stored map[string]int) {
	x.intact = false
	x.begun = store.Newest(x.begun, upTo)
	for _, r := range x.rooms {
		x.discard(r)
		r.known, r.stored, r.unseen = counted, 0, x.begun
	}
	for name, n := range stored {
		x.expect(name, n)
	}
}

// limitsChanged records that the stream has kept another number of messages since at.
func (x *index) limitsChanged(at store.ID) {
	if !at.After(x.begun) {
		x.unknown = store.Newest(x.unknown, at)
		return
	}
	for _, r := range x.rooms {
		if r.known == counted {
			r.known = uncounted
		}
	}
}

// view is the messages of a room between two ids, and what the room has lost.
type view struct {
	room string
	ids  []store.ID
	lost loss
	// notices are what else a reader has to be told who asks for changes, and
	// lostNotices is the newest one that is not known any more.
	notices     []revisions.Revision
	lostNotices store.ID
	// ahead is the newest revision of the room if it is newer than the span, or zero.
	ahead store.ID
}

// next returns the oldest id, of a message or a notice, if there is one.
func (v view) next() (store.ID, bool) {
	switch {
	case v.noticeIsNext():
		return v.notices[0].At, true
	case len(v.ids) > 0:
		return v.ids[0], true
	default:
		return store.ID{}, false
	}
}

// noticeIsNext reports whether the oldest entry is a notice.
func (v view) noticeIsNext() bool {
	return len(v.notices) > 0 && (len(v.ids) == 0 || v.ids[0].After(v.notices[0].At))
}

// view returns what can be read of a room between two ids. Messages no newer than
// cutoff are hidden. The caller must not change the ids; they are valid until the
// index changes.
func (x *index) view(name string, after, upTo, cutoff store.ID) view {
	v := view{room: name}
	r := x.rooms[name]
	if r == nil {
		v.lost.id = x.lostOf(name)
	} else {
		v.lost = r.lost
		if expired := r.after(cutoff); expired > 0 {
			v.lost = loss{id: r.ids[expired-1]}
		}
		from, to := r.after(store.Newest(after, cutoff)), r.after(upTo)
		v.ids = r.ids[from:max(from, to)]
	}
	// messages that expired before the index began were lost unnoticed
	if !x.intact && !cutoff.IsZero() {
		v.lost.id = store.Newest(v.lost.id, store.Oldest(cutoff, x.begun))
	}
	return v
}

// notices returns what a reader has to be told of a room in a span: what has changed of
// the messages that are newer than lost, and that the room was forgotten.
func (x *index) notices(name string, span store.Span, lost store.ID) []revisions.Revision {
	found := slices.Clone(x.changes.in(name, span, lost))
	if f := x.forgotten[name]; f.at.After(span.After) && !f.at.After(span.UpTo) {
		found = append(found, revisions.Revision{At: f.at, ID: f.through, Kind: revisions.Forgotten})
		slices.SortFunc(found, func(a, b revisions.Revision) int { return a.At.Compare(b.At) })
	}
	return found
}

// lostNotices returns the newest id of a notice that is not known any more for a room.
func (x *index) lostNotices(name string) store.ID {
	return store.Newest(store.Newest(x.forgotten[name].dropped, x.changes.lost(name)), x.unknown)
}

// idsOf returns the known ids of a room. The rules of view apply.
func (x *index) idsOf(name string) []store.ID {
	if r := x.rooms[name]; r != nil {
		return r.ids
	}
	return nil
}

// covers reports whether all messages of a room that are newer than after are known.
func (x *index) covers(name string, after store.ID) bool {
	r := x.rooms[name]
	return r == nil || r.known == complete || len(r.ids) > 0 && !r.ids[0].After(after)
}
