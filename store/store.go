package store

import (
	"context"
	"errors"
	"math"
	"time"
)

// NonceLife is how long a store remembers a nonce: a repeat within that time
// returns the first message.
const NonceLife = 10 * time.Minute

var (
	// ErrClosed is returned by a store that has been closed.
	ErrClosed = errors.New("the store is closed")
	// ErrTooManyRooms is returned for a message in a new room when the store
	// holds [Limits.Rooms] rooms and all of them have readers.
	ErrTooManyRooms = errors.New("the hub has reached its limit of rooms, and all of them have readers")
	// ErrNotFound is returned for a message that is not stored, or not in that room.
	ErrNotFound = errors.New("no such message")
)

// Store keeps the messages of one hub and puts them in one order.
//
// Its methods may be called by several goroutines at the same time. A call that
// waits returns the context's error when its context ends. After Close, calls
// return [ErrClosed], and so do calls that were waiting. Any error that is not
// documented means that the store cannot be reached now, and that it is unknown
// whether the call had an effect.
type Store interface {
	// Append stores drafts in one room in their order, all or none, and
	// returns one receipt for each. When it returns, the messages are as safe
	// as the store can make them, and have been passed to [Hub.Deliver]. A
	// draft whose owner has used its nonce in the room before is not stored
	// again; its receipt is that of the first message. Append returns
	// [ErrTooManyRooms] if the room is new and there is no place for it.
	//
	// If ctx ends before the outcome is known, Append returns its error; the
	// drafts may still be stored.
	Append(ctx context.Context, room string, drafts []Draft) ([]Receipt, error)

	// Find returns the receipt that a repeat of an owner's nonce would get in a
	// room. Its Repeat is false if no message was stored under that nonce
	// within [NonceLife].
	Find(ctx context.Context, room string, owner Owner, nonce string) (Receipt, error)

	// Change makes a change in a message of a room, and returns its receipt: the
	// message as it is now, or none after a deletion. When it returns, the change is as
	// safe as a message is after Append, and has been passed to [Hub.Changed] or
	// [Hub.Deleted]. A change has an id of its own in the order of the log, the
	// message's revision. A change that has no effect, like a second reaction of the
	// same kind, has none. A repeat of a nonce has no effect either, and returns the
	// message as it is now.
	//
	// With [Change].DryRun nothing happens, and the receipt or the error says what would.
	//
	// What was replaced is kept nowhere, and changes count towards no limit. The errors
	// are [ErrNotFound] if there is no such message, and those of [Change.Apply].
	Change(ctx context.Context, room string, id ID, change Change) (Receipt, error)

	// After returns the oldest messages of a span, at most limit. The page may
	// be shorter even if More is true, but then holds at least one message
	// unless limit is 0 or messages disappeared while they were read.
	After(ctx context.Context, span Span, limit int) (Page, error)

	// Before returns the newest messages of a room that are older than before,
	// at most limit, oldest first. Its More says whether there are older ones.
	Before(ctx context.Context, room string, before ID, limit int) (Page, error)

	// Tail finds the newest n messages of rooms, taken together, among those no
	// newer than upTo, and returns where they begin.
	Tail(ctx context.Context, rooms []string, upTo ID, n int) (Tail, error)

	// Delete removes one message of any room for good and calls [Hub.Deleted]. This
	// includes a message that is only kept for its nonce. The nonce stays
	// known, without the message. Delete returns [ErrNotFound] if there is no
	// such message.
	Delete(ctx context.Context, id ID) error

	// Forget removes all messages of a room and calls [Hub.Forgotten]. It does
	// nothing if the room has none. Their nonces stay known, like those of
	// deleted messages.
	Forget(ctx context.Context, room string) error

	// Limit changes what the store keeps. Messages beyond the new limits are
	// hidden at once; their space may be freed later. A store that shares its
	// log may wait a few seconds for a server. Errors are logged.
	Limit(Limits)

	// State returns where the store's log begins and ends now. It never waits.
	State() State

	// Close releases files and connections. It first waits until calls of
	// Append that are in progress have stored or refused their messages. A
	// second call does nothing.
	Close() error
}

// Lister is a [Store] that knows which rooms hold messages. Operators of
// other stores only see rooms that have readers.
type Lister interface {
	// Rooms returns how many messages each room holds. Rooms without messages
	// are left out.
	Rooms(ctx context.Context) (map[string]int, error)
}

// Hub is what a store delivers to. A store may call it while it holds its own
// locks, so these methods must not block and must not call the store.
//
// A store never runs two of Deliver, Changed, Deleted and Forgotten at the same time, nor
// one of them beside [Mirror.Dropped], [Peer.Began], [Peer.Missed] or [Peer.Skipped]: their
// order is the order of the log. Reading may be called by any goroutine, at the same
// time as every other method.
type Hub interface {
	// Deliver passes on messages that are now stored, in the order of their
	// ids, each once. There is at least one.
	Deliver([]*Message)
	// Changed passes on a message as it is now, and what is new in it.
	Changed(now, delta *Message)
	// Deleted reports that a message was deleted, at a revision.
	Deleted(room string, id, at ID)
	// Forgotten reports that all messages of a room up to through are gone. at is the
	// revision, or zero if they were lost and not forgotten.
	Forgotten(room string, through, at ID)
	// Reading reports whether a room has readers now.
	Reading(room string) bool
}

// Mirror is implemented by hubs that hold messages themselves. The rules of
// [Hub] apply.
type Mirror interface {
	// Dropped reports that the store has removed a room's messages up to
	// through to free their memory. The hub should not hold them any longer.
	Dropped(room string, through ID)
}

// Module is implemented by every Caddy module of the namespace
// http.sse_chat.stores.
type Module interface {
	// Place names where the messages are kept, like "memory" or
	// "bolt /var/lib/chat.db". Handlers of one hub share a store if their
	// places are equal.
	Place() string
	// Open opens the store of the hub called name. The error names the file or
	// the server. The store may call the hub before Open returns.
	Open(name string, hub Hub, limits Limits) (Store, error)
}

// Limits is what a store keeps. No field is negative.
type Limits struct {
	// Count is how many messages are kept for each room; 0 keeps none.
	Count int
	// Age is how long a message is kept; 0 is for ever.
	Age time.Duration
	// Rooms is how many rooms may hold messages. For a new room beyond that,
	// the store drops the room that has been idle longest among those without
	// readers. A store in memory drops empty rooms first.
	Rooms int
	// Size is how many bytes of memory a store in memory may use; 0 stands for
	// the store's default. Other stores ignore it.
	Size int
}

// Cutoff returns the newest id that is too old to be kept at the time now, or
// the zero ID if no message is ever too old.
func (l Limits) Cutoff(now time.Time) ID {
	if l.Age == 0 {
		return ID{}
	}
	return ID{Ms: now.Add(-l.Age).UnixMilli(), N: math.MaxUint64}
}

// Receipt is what became of a draft.
type Receipt struct {
	// ID is the id of the stored message.
	ID ID
	// Message is the stored message, or nil if it was deleted or forgotten.
	Message *Message
	// Repeat is set if the message was stored before, under the same nonce.
	Repeat bool
	// Unchanged is set if a change had no effect.
	Unchanged bool
}

// Span is the messages of some rooms that are newer than After and no newer
// than UpTo.
type Span struct {
	Rooms       []string
	After, UpTo ID
	// Changes asks for notices of what has changed since After, each at its last
	// revision: for each changed message that is no newer than After, one that has the
	// whole message; for each deleted message, one that says that it is gone, even if it
	// was newer than After, because a reader may have it from elsewhere; and for each
	// room that was forgotten, one. What a deletion leaves is kept for as long as the
	// message would have been.
	Changes bool
}

// Page is a part of the messages asked for, oldest first.
type Page struct {
	Messages []*Message
	// More is set if there are further messages in the direction asked.
	More bool
	// Lost holds, for each room asked for, the newest message that retention
	// has removed, or the zero ID. If that is newer than the span's start, the
	// reader has missed messages. With [Span].Changes, it may also be the revision of a
	// message that was deleted so long ago that it is not known any more.
	Lost []ID
	// Ahead is the newest revision of the rooms if it is newer than the span's UpTo,
	// otherwise the zero ID. Deltas up to there may be of messages whose last change the
	// page lacks, because it is newer than UpTo. It is only set with [Span].Changes.
	Ahead ID
}

// Tail is the end of some rooms.
type Tail struct {
	// Start is the cursor that the newest n messages follow.
	Start ID
	// Oldest and Newest are the ids of the oldest and the newest message that
	// the rooms hold, or zero if they hold none.
	Oldest, Newest ID
	// Lost is as in the [Page] of a span with changes.
	Lost []ID
}

// Include widens the tail's bounds so that they include the messages of one
// room, from oldest to newest.
func (t *Tail) Include(oldest, newest ID) {
	if t.Oldest.IsZero() || t.Oldest.After(oldest) {
		t.Oldest = oldest
	}
	t.Newest = Newest(t.Newest, newest)
}

// State is where a store's log begins and ends.
type State struct {
	// Origin is older than every id that the log has assigned. An older id
	// belongs to another log, or to this one before a restart that emptied it.
	Origin ID
	// Latest is the newest id that the log has assigned, at least Origin.
	Latest ID
	// Durable is set if the log survives a restart of the process.
	Durable bool
}
