package webhook

import (
	"container/heap"
	"context"
	"maps"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// pageSize is how many entries are read from the store at once, at most.
	pageSize = 512
	// roomsPerPage is how many rooms are read at once, at most.
	roomsPerPage = 100
)

// backlog reads the log of all rooms from a store that can only read some rooms at a time.
// It knows the rooms that have something unread, each with a bound: nothing unread is older
// than that. A page is read from the rooms with the oldest bounds, and is whole up to the
// bound of the next one. So it costs no more than the rooms that it is from, however many
// the hub has. Only one goroutine may use it.
type backlog struct {
	store store.Store
	rooms roomHeap
	// most is how many rooms there may be until all are scanned again: rooms that the hub
	// has dropped are still among them.
	most int
	// told is the newest loss of each room that was reported to the site, unless the site
	// has passed it; toldGone is the newest reported loss of rooms that the store has
	// dropped.
	told     map[string]store.ID
	toldGone store.ID
	mostTold int // size of told at which passed losses are removed
}

// unreadRoom is a room that may have something unread, but nothing older than bound.
type unreadRoom struct {
	name  string
	bound store.ID
	index int // in roomHeap.list
}

// add adds a room with something unread.
func (b *backlog) add(name string, bound store.ID) {
	b.rooms.add(&unreadRoom{name: name, bound: bound})
}

// add adds a room, or lowers its bound.
func (h *roomHeap) add(r *unreadRoom) {
	known := h.byName[r.name]
	switch {
	case known == nil:
		if h.byName == nil {
			h.byName = make(map[string]*unreadRoom)
		}
		h.byName[r.name] = r
		heap.Push(h, r)
	case known.bound.After(r.bound):
		known.bound = r.bound
		heap.Fix(h, known.index)
	}
}

// scan finds all rooms that have something after an id. lost reports whether the site has
// lost something in a room that the store does not hold any more.
func (b *backlog) scan(ctx context.Context, after store.ID) (lost bool, err error) {
	finder, ok := b.store.(store.RoomFinder)
	if !ok {
		return false, nil
	}
	rooms, loss, err := finder.Since(ctx, after)
	if err != nil {
		return false, err
	}
	b.rooms = roomHeap{}
	for _, room := range rooms {
		b.add(room, after) // also to be read if it has nothing newer: for what it has lost
	}
	b.most = 2*len(rooms) + maxSpilled
	if lost = loss.After(store.Newest(after, b.toldGone)); lost {
		b.toldGone = loss
	}
	return lost, nil
}

// isCrowded reports whether there are so many rooms that they should be scanned.
func (b *backlog) isCrowded() bool { return len(b.rooms.list) > max(b.most, maxSpilled) }

// tellLoss records that the site is told of the loss of a room. What is no newer than after
// needs no record.
func (b *backlog) tellLoss(room string, loss, after store.ID) {
	if b.told == nil {
		b.told = make(map[string]store.ID)
	}
	b.told[room] = loss
	if len(b.told) > b.mostTold {
		maps.DeleteFunc(b.told, func(_ string, loss store.ID) bool { return !loss.After(after) })
		b.mostTold = 2*len(b.told) + roomsPerPage
	}
}

// oldest returns the oldest bound up to an id, if there is one.
func (b *backlog) oldest(upTo store.ID) (store.ID, bool) {
	if len(b.rooms.list) == 0 || b.rooms.list[0].bound.After(upTo) {
		return store.ID{}, false
	}
	return b.rooms.list[0].bound, true
}

// page is a part of the log.
type page struct {
	entries []entry
	// end is up to where these are all.
	end store.ID
	// lost is set if the site has lost something before the page.
	lost bool
}

// read reads the entries after one id and up to another, or the first of them. After an
// error the backlog is as before.
func (b *backlog) read(ctx context.Context, after, upTo store.ID) (page, error) {
	p := page{end: upTo}
	picked := b.pick(upTo)
	if len(picked) == 0 {
		return p, nil
	}
	limit := pageSize
	if bound, more := b.oldest(upTo); more {
		// what is newer than that is only read to learn how far these rooms are
		p.end, limit = bound.Prev(), 2*len(picked)
	}
	span := store.Span{After: after, UpTo: upTo, Changes: true}
	for _, r := range picked {
		span.Rooms = append(span.Rooms, r.name)
	}
	found, err := b.store.After(ctx, span, limit)
	if err != nil {
		b.putBack(picked)
		return page{}, err
	}
	news := make(map[string]store.ID)
	for i, loss := range found.Lost {
		if !loss.After(store.Newest(after, b.told[span.Rooms[i]])) {
			continue
		}
		forgotten, err := b.isForgotten(ctx, span.Rooms[i], after, loss)
		if err != nil {
			b.putBack(picked)
			return page{}, err
		}
		if !forgotten {
			news[span.Rooms[i]] = loss
		}
	}
	for room, loss := range news {
		b.tellLoss(room, loss, after)
		p.lost = true
	}
	last := after
	next := make(map[string]store.ID)
	for _, m := range found.Messages {
		last = m.ID
		if !m.ID.After(p.end) {
			p.entries = append(p.entries, entryOf(m))
		} else if _, known := next[m.Room]; !known {
			next[m.Room] = m.ID
		}
	}
	for _, r := range picked {
		if bound, known := next[r.name]; known {
			b.add(r.name, bound)
		} else if found.More {
			b.add(r.name, last.Next())
		}
	}
	if found.More {
		p.end = store.Oldest(p.end, last)
	}
	p.end = store.Newest(p.end, after)
	return p, nil
}

// isForgotten reports whether a room lost its messages because the room was forgotten. Then
// the site gets a deletion from the log and needs no gap.
func (b *backlog) isForgotten(ctx context.Context, room string, after, loss store.ID) (bool, error) {
	span := store.Span{Rooms: []string{room}, After: after, UpTo: store.MaxID, Changes: true}
	const maxRead = 10 // entries after that id
	found, err := b.store.After(ctx, span, maxRead)
	for _, m := range found.Messages {
		if m.IsNotice() && m.IsForgotten() && !loss.After(m.About()) {
			return true, err
		}
	}
	return false, err
}

// putBack undoes pick.
func (b *backlog) putBack(picked []*unreadRoom) {
	for _, r := range picked {
		b.rooms.add(r)
	}
}

// pick removes and returns the rooms with the oldest bounds, those up to an id.
func (b *backlog) pick(upTo store.ID) (picked []*unreadRoom) {
	for len(picked) < roomsPerPage {
		if _, ok := b.oldest(upTo); !ok {
			break
		}
		r := heap.Pop(&b.rooms).(*unreadRoom)
		delete(b.rooms.byName, r.name)
		picked = append(picked, r)
	}
	if len(b.rooms.list) == 0 {
		b.rooms = roomHeap{} // neither a map nor a slice ever shrinks
	}
	return picked
}

// roomHeap is a heap of rooms, with the oldest bound first.
type roomHeap struct {
	list   []*unreadRoom
	byName map[string]*unreadRoom
}

// Len implements [heap.Interface].
func (h *roomHeap) Len() int { return len(h.list) }

// Less implements [heap.Interface].
func (h *roomHeap) Less(i, j int) bool { return h.list[j].bound.After(h.list[i].bound) }

// Swap implements [heap.Interface].
func (h *roomHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].index, h.list[j].index = i, j
}

// Push implements [heap.Interface].
func (h *roomHeap) Push(r any) {
	room := r.(*unreadRoom)
	room.index = len(h.list)
	h.list = append(h.list, room)
}

// Pop implements [heap.Interface].
func (h *roomHeap) Pop() any {
	last := len(h.list) - 1
	r := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	return r
}
