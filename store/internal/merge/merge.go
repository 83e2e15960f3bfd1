// Package merge puts the messages of several rooms in one order.
package merge

import (
	"iter"
	"slices"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Oldest yields again and again the index of the source whose next message is
// the oldest, until no source has a message left. Each source is sorted, oldest
// message first. next returns the id of a source's next message, or false if
// there is none. The loop's body must move on the source that it was given, and
// no other one.
func Oldest[S any](sources []S, next func(S) (store.ID, bool)) iter.Seq[int] {
	return inOrder(sources, next, func(a, b store.ID) bool { return b.After(a) })
}

// Newest is [Oldest] in the opposite direction: each source is sorted, newest
// message first.
func Newest[S any](sources []S, next func(S) (store.ID, bool)) iter.Seq[int] {
	return inOrder(sources, next, store.ID.After)
}

// inOrder yields the source whose next message comes before those of all others.
// A stream has few rooms that hold anything new, so it compares them one by one.
func inOrder[S any](sources []S, next func(S) (store.ID, bool), before func(a, b store.ID) bool) iter.Seq[int] {
	type head struct {
		id     store.ID
		source int
	}
	return func(yield func(int) bool) {
		heads := make([]head, 0, len(sources))
		for i, s := range sources {
			if id, ok := next(s); ok {
				heads = append(heads, head{id, i})
			}
		}
		for len(heads) > 0 {
			first := 0
			for i := 1; i < len(heads); i++ {
				if before(heads[i].id, heads[first].id) {
					first = i
				}
			}
			source := heads[first].source
			if !yield(source) {
				return
			}
			if id, ok := next(sources[source]); ok {
				heads[first].id = id
			} else {
				heads = slices.Delete(heads, first, first+1)
			}
		}
	}
}
