// Package revisions finds what has changed in a room since an id.
package revisions

import (
	"reflect"
	"slices"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Kind is what a revision has done.
type Kind uint8

// The kinds of revisions.
const (
	Changed   Kind = iota // the message is kept, and was changed
	Deleted               // the message was deleted
	Forgotten             // the message and all older ones of the room were forgotten
)

// MaxPageBytes ends a page once its notices have this many bytes in total. Unlike messages,
// they are encoded anew for each page.
const MaxPageBytes = 64 << 10

// Revision is the last change of a message.
type Revision struct {
	// At is the id of the change.
	At store.ID
	// ID is that of the message.
	ID   store.ID
	Kind Kind
}

// IsIn reports whether a span has a notice of a revision that it includes. lost is the
// newest message that the room has lost.
//
// A changed message that is newer than the span's start is itself in the span. A deleted
// one is not, and a reader may have it from elsewhere: the history, or the answer to its
// own publish.
func (r Revision) IsIn(span store.Span, lost store.ID) bool {
	switch r.Kind {
	case Forgotten:
		return true
	case Deleted:
		return r.ID.After(lost)
	default:
		return r.ID.After(lost) && !r.ID.After(span.After)
	}
}

// List is the revisions of one room, each message's last one, in the order of the
// changes. The zero List is empty. It is not safe for concurrent use.
type List struct {
	all     []Revision
	deleted int // how many are of kind Deleted
	// unknown is the newest revision that Limit has removed, or that NewList was given.
	unknown store.ID
}

// NewList returns the list of a room that has had revisions up to unknown, or the zero ID.
func NewList(unknown store.ID) List { return List{unknown: unknown} }

var revisionSize = int(reflect.TypeFor[Revision]().Size())

// Size returns how many bytes of memory the list uses.
func (l *List) Size() int { return cap(l.all) * revisionSize }

// Len returns the number of revisions.
func (l *List) Len() int { return len(l.all) }

// Change adds the newest revision of a message. was is the message's revision before, or
// the zero ID if there was none.
func (l *List) Change(was store.ID, r Revision) {
	l.Remove(was)
	l.all = append(l.all, r)
	if r.Kind == Deleted {
		l.deleted++
	}
}

// Forget replaces the revisions of a room's messages up to through by one that says that
// they were forgotten.
func (l *List) Forget(at, through store.ID) {
	l.Expire(through)
	l.all = slices.DeleteFunc(l.all, func(r Revision) bool { return r.Kind == Forgotten && !r.ID.After(through) })
	l.all = append(l.all, Revision{at, through, Forgotten})
}

// Remove removes the revision at an id, if there is one.
func (l *List) Remove(at store.ID) {
	if at.IsZero() {
		return
	}
	i, found := slices.BinarySearchFunc(l.all, at, func(r Revision, at store.ID) int { return r.At.Compare(at) })
	if !found {
		return
	}
	if l.all[i].Kind == Deleted {
		l.deleted--
	}
	l.all = slices.Delete(l.all, i, i+1)
}

// leastKept is how many revisions of deleted messages Limit keeps at least.
const leastKept = 100

// Most returns how many revisions of deleted messages are kept of a room that keeps count
// messages.
func Most(count int) int { return max(count, leastKept) }

// Limit bounds the revisions of deleted messages, in a room that keeps count messages.
// Those that are no newer than lost would not be kept any more, and go first.
func (l *List) Limit(count int, lost store.ID) {
	most := Most(count)
	if l.deleted <= most {
		return
	}
	l.Expire(lost)
	l.all = slices.DeleteFunc(l.all, func(r Revision) bool {
		over := r.Kind == Deleted && l.deleted > most
		if over {
			l.deleted--
			l.unknown = r.At
		}
		return over
	})
}

// Expire removes the revisions of messages that are no newer than lost. That messages were
// forgotten is known for longer, until messages that were published after that are lost.
func (l *List) Expire(lost store.ID) {
	l.all = slices.DeleteFunc(l.all, func(r Revision) bool {
		over := !r.ID.After(lost)
		if r.Kind == Forgotten {
			over = !r.At.After(lost)
		}
		if over && r.Kind == Deleted {
			l.deleted--
		}
		return over
	})
}

// Unknown returns the newest revision that is not known any more: of a deleted message
// that Limit has removed, or what NewList was given. Readers at an older id cannot be told
// of it.
func (l *List) Unknown() store.ID { return l.unknown }

// Newest returns the newest revision of those that the list has and Unknown.
func (l *List) Newest() store.ID {
	if n := len(l.all); n > 0 {
		return store.Newest(l.all[n-1].At, l.unknown)
	}
	return l.unknown
}

// After returns the revisions newer than an id. The caller must not change them; they
// are valid until the list changes.
func (l *List) After(id store.ID) []Revision {
	i, _ := slices.BinarySearchFunc(l.all, id.Next(), func(r Revision, at store.ID) int { return r.At.Compare(at) })
	return l.all[i:]
}
