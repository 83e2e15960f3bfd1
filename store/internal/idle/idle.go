// Package idle decides which room a store drops when it has too many: the one
// that has been idle longest among those without readers.
package idle

import (
	"container/list"
	"iter"
)

// Order keeps rooms in the order in which they were last published to. The zero
// Order is empty. It is not safe for concurrent use.
type Order[R any] struct{ rooms list.List }

// Place is where a room is in its order.
type Place = list.Element

// Len returns the number of rooms.
func (o *Order[R]) Len() int { return o.rooms.Len() }

// Add adds a room as the one published to last.
func (o *Order[R]) Add(room R) *Place { return o.rooms.PushFront(room) }

// Published moves a room to the place of the one published to last.
func (o *Order[R]) Published(at *Place) { o.rooms.MoveToFront(at) }

// Remove removes a room.
func (o *Order[R]) Remove(at *Place) { o.rooms.Remove(at) }

// All yields all rooms, the one that has been idle longest first. The order must
// not change meanwhile.
func (o *Order[R]) All() iter.Seq[R] {
	return func(yield func(R) bool) {
		for e := o.rooms.Back(); e != nil; e = e.Prev() {
			if !yield(e.Value.(R)) {
				return
			}
		}
	}
}

// Verdict says whether a room can be dropped.
type Verdict int

const (
	// Drop is for a room without readers.
	Drop Verdict = iota
	// Keep is for a room that has readers. It moves to the place of the one
	// published to last, so that a store whose rooms are all being read does not
	// look at the same ones again for each message.
	Keep
	// Skip is for a room that is out of the question and keeps its place.
	Skip
)

// maxKept is how many rooms one search may find to have readers before it gives
// up.
const maxKept = 256

// Longest returns the room that has been idle longest among those for which
// judge returns [Drop]. It reports false if it finds none, after at most 256
// rooms with readers. The room keeps its place.
func (o *Order[R]) Longest(judge func(R) Verdict) (R, bool) { return o.Search().Next(judge) }

// Search finds one room to drop after the other. It serves a store that drops
// rooms only when a transaction is committed, and must not find a room twice
// until then. No room may be removed from the order meanwhile.
type Search[R any] struct {
	order *Order[R]
	at    *Place // the next one to look at, or nil at the end
}

// Search starts a search at the room that has been idle longest.
func (o *Order[R]) Search() *Search[R] { return &Search[R]{o, o.rooms.Back()} }

// Next is [Order.Longest] among the rooms that the search has not passed yet.
func (s *Search[R]) Next(judge func(R) Verdict) (room R, found bool) {
	for kept := 0; s.at != nil && kept < min(maxKept, s.order.Len()); {
		e := s.at
		s.at = e.Prev()
		switch judge(e.Value.(R)) {
		case Drop:
			return e.Value.(R), true
		case Keep:
			s.order.rooms.MoveToFront(e)
			kept++
		case Skip:
		}
	}
	return room, false
}
