package jetstream

import (
	"container/list"
	"math"
	"slices"
	"sort"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxIndexed is how many ids an index holds. Beyond that the rooms that were
// idle longest are read from the stream again when somebody asks for them.
const maxIndexed = 8 << 20

// index is what a node knows of the rooms of its stream: which ids they hold,
// and what they have lost. The messages themselves stay in the stream. It is
// not safe for concurrent use.
//
// A room that had messages before the index began is known only in part until
// somebody asks for it.
type index struct {
	rooms map[string]*room
	idle  list.List // the rooms, the one published to last in front
	size  int       // ids in all rooms

	// begun is the newest id of the stream when the index began: what a room
	// lost without a trace is no newer.
	begun store.ID
	// unknown is the newest id of which it is unknown what was lost until then.
	unknown store.ID
	// whole tells that the stream had lost nothing when the index began.
	whole bool

	deleted   map[uint64]struct{} // sequences that may still be in the stream
	deletions map[string]int      // how many of them each room has lost
	forgotten map[string]store.ID // rooms that are gone, with their last message
}

// room is the ids of one room.
type room struct {
	name string
	// ids are those of messages that can be read, oldest first.
	ids []store.ID
	// partial tells that the stream may have messages that are older than ids.
	// None of them is newer than unseen, and there were at least so many as
	// stored.
	partial bool
	unseen  store.ID
	stored  int
	// lost is the newest message that retention has removed, or is newer.
	lost store.ID
	// guessed tells that lost is only the place before the oldest id.
	guessed bool
	idle    *list.Element
}

func newIndex() *index {
	return &index{
		rooms:     make(map[string]*room),
		deleted:   make(map[uint64]struct{}),
		deletions: make(map[string]int),
		forgotten: make(map[string]store.ID),
	}
}

// add adds a room, if it is new.
func (x *index) add(name string) *room {
	if r := x.rooms[name]; r != nil {
		return r
	}
	r := &room{name: name, lost: x.forgotten[name]}
	x.rooms[name] = r
	r.idle = x.idle.PushFront(r)
	return r
}

// expect notes how many messages the stream has of a room when the index
// begins.
func (x *index) expect(name string, stored int) {
	r := x.add(name)
	r.partial, r.stored, r.unseen = true, stored, x.begun
}

// push adds the newest message, of which the room keeps count.
func (x *index) push(name string, id store.ID, count int) {
	if _, gone := x.deleted[id.N]; gone || !id.After(x.forgotten[name]) {
		return
	}
	r := x.rooms[name]
	if r == nil {
		r = x.add(name)
		r.lost = x.lostOf(name)
	}
	r.ids = append(r.ids, id)
	x.size++
	x.idle.MoveToFront(r.idle)
	x.trim(r, count)
	x.shrink(r)
}

// trim removes the oldest ids beyond count.
func (x *index) trim(r *room, count int) {
	if n := len(r.ids) - count; n > 0 {
		x.cut(r, n)
		r.partial = false // whatever was older is beyond count too
	}
}

// cut removes the oldest n ids.
func (x *index) cut(r *room, n int) {
	if newest := r.ids[n-1]; newest.After(r.lost) {
		r.lost, r.guessed = newest, false
	}
	r.ids = slices.Delete(r.ids, 0, n)
	x.size -= n
}

// shrink takes the ids away from rooms that were idle longest, but not from
// one, if there are too many.
func (x *index) shrink(but *room) {
	for e := x.idle.Back(); e != nil && x.size > maxIndexed; e = e.Prev() {
		if r := e.Value.(*room); r != but {
			x.blur(r)
		}
	}
}

// blur gives up what is known of a room.
func (x *index) blur(r *room) {
	if n := len(r.ids); n > 0 {
		r.unseen = r.ids[n-1]
	}
	x.size -= len(r.ids)
	r.ids, r.partial, r.stored = nil, true, math.MaxInt32
}

// fill adds the older ids of a room that was known in part, as they lie in a
// stream that holds so many of each room.
func (x *index) fill(name string, older []store.ID, count, physical int) {
	r := x.rooms[name]
	if r == nil || !r.partial {
		return
	}
	if len(r.ids) > 0 {
		older = older[:sort.Search(len(older), func(i int) bool { return !r.ids[0].After(older[i]) })]
	}
	older = slices.DeleteFunc(slices.Clone(older), func(id store.ID) bool {
		_, gone := x.deleted[id.N]
		return gone || !id.After(x.forgotten[name])
	})
	// a room that was never full has lost nothing but what is known
	lost := x.lostOf(name)
	if full := max(len(older)+len(r.ids), r.stored); full+x.deletions[name] >= physical {
		lost = store.Newest(lost, r.unseen)
	}
	x.size += len(older)
	r.ids = append(older, r.ids...)
	guessed := len(r.ids) > 0 && !r.ids[0].After(lost)
	if guessed {
		lost = r.ids[0].Prev()
	}
	if lost.After(r.lost) {
		r.lost, r.guessed = lost, guessed
	}
	r.partial = false
	x.trim(r, count)
	x.shrink(r)
}

// lostOf returns what a room has lost of which nothing else is known.
func (x *index) lostOf(name string) store.ID {
	return store.Newest(x.forgotten[name], x.unknown)
}

// delete removes one message.
func (x *index) delete(name string, id store.ID) {
	x.deleted[id.N] = struct{}{}
	x.deletions[name]++
	if r := x.rooms[name]; r != nil {
		x.remove(r, id)
	}
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

// vanish removes a message that turned out to be gone, and counts it as lost.
func (x *index) vanish(name string, id store.ID) {
	r := x.rooms[name]
	if r != nil && x.remove(r, id) {
		r.lost = store.Newest(r.lost, id)
	}
}

// forget removes all messages of a room up to one.
func (x *index) forget(name string, through store.ID) {
	x.bury(name, through)
	r := x.rooms[name]
	if r == nil {
		return
	}
	if n := r.after(through); n > 0 {
		x.cut(r, n)
	}
	r.lost = store.Newest(r.lost, through)
	if !x.begun.After(through) {
		r.partial = false
	}
	if len(r.ids) == 0 && !r.partial {
		x.drop(r)
	}
}

// maxForgotten is how many rooms that are gone are remembered one by one.
const maxForgotten = 100_000

// bury remembers what a room has lost when it is gone.
func (x *index) bury(name string, lost store.ID) {
	if len(x.forgotten) >= maxForgotten {
		for _, id := range x.forgotten {
			x.unknown = store.Newest(x.unknown, id)
		}
		clear(x.forgotten)
	}
	x.forgotten[name] = store.Newest(x.forgotten[name], lost)
}

// vacate drops a room of which the stream had no messages a moment ago. Ids
// that have come since then keep it.
func (x *index) vacate(name string) {
	r := x.rooms[name]
	if r == nil || r.partial && len(r.ids) > 0 {
		return
	}
	lost := r.lost
	if _, known := x.forgotten[name]; r.partial && !known {
		lost = store.Newest(lost, r.unseen)
	}
	x.bury(name, lost)
	x.drop(r)
}

func (x *index) drop(r *room) {
	x.size -= len(r.ids)
	x.idle.Remove(r.idle)
	delete(x.rooms, r.name)
}

// expire removes what is no newer than cutoff from all rooms.
func (x *index) expire(cutoff store.ID) {
	for _, r := range x.rooms {
		if n := r.after(cutoff); n > 0 {
			x.cut(r, n)
		}
		if len(r.ids) == 0 && (!r.partial || !x.begun.After(cutoff)) {
			x.bury(r.name, r.lost)
			x.drop(r)
		}
	}
}

// doubt forgets which ids are in the stream, because some that were not seen
// have come and gone again before upTo. stored is how many messages each room
// has now.
func (x *index) doubt(upTo store.ID, stored map[string]int) {
	x.whole = false
	x.begun = store.Newest(x.begun, upTo)
	for _, r := range x.rooms {
		x.blur(r)
		r.unseen, r.stored = x.begun, 0
	}
	for name, n := range stored {
		x.expect(name, n)
	}
}

// relimit notes that the stream has kept less or more since at.
func (x *index) relimit(at store.ID) {
	if !at.After(x.begun) {
		x.unknown = store.Newest(x.unknown, at)
		return
	}
	for _, r := range x.rooms {
		if r.partial {
			r.stored = math.MaxInt32
		}
	}
}

// after returns the index of the oldest id newer than id.
func (r *room) after(id store.ID) int {
	return sort.Search(len(r.ids), func(i int) bool { return r.ids[i].After(id) })
}

// view is the ids of a room between two ids, and the newest message that is
// lost of it.
type view struct {
	room    string
	ids     []store.ID
	lost    store.ID
	guessed bool // lost is only the place before the oldest id
}

// view returns what can be read of a room between two ids. Nothing as old as
// cutoff can. The ids are not the caller's to change, and change with the
// index.
func (x *index) view(name string, after, upTo, cutoff store.ID) view {
	v := view{room: name}
	r := x.rooms[name]
	if r == nil {
		v.lost = x.lostOf(name)
	} else {
		v.lost, v.guessed = r.lost, r.guessed
		if expired := r.after(cutoff); expired > 0 {
			v.lost, v.guessed = r.ids[expired-1], false
		}
		from, to := r.after(store.Newest(after, cutoff)), r.after(upTo)
		v.ids = r.ids[from:max(from, to)]
	}
	// what grew old before the index began has left no trace
	if !x.whole && !cutoff.IsZero() {
		v.lost = store.Newest(v.lost, oldest(cutoff, x.begun))
	}
	return v
}

// idsOf returns the ids of a room that are known.
func (x *index) idsOf(name string) []store.ID {
	if r := x.rooms[name]; r != nil {
		return r.ids
	}
	return nil
}

// covers reports whether all that a room has after an id is known.
func (x *index) covers(name string, after store.ID) bool {
	r := x.rooms[name]
	return r == nil || !r.partial || len(r.ids) > 0 && !r.ids[0].After(after)
}

func oldest(a, b store.ID) store.ID {
	if a.After(b) {
		return b
	}
	return a
}
