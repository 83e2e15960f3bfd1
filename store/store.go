package store

import (
	"context"
	"errors"
	"time"
)

// NonceLife is how long a store knows a nonce: a repeat within it answers the
// first message.
const NonceLife = 10 * time.Minute

var (
	// ErrClosed is returned by a store that has been closed.
	ErrClosed = errors.New("the store is closed")
	// ErrTooManyRooms is returned for a message in a new room when the store
	// holds as many rooms as it may and all of them have readers.
	ErrTooManyRooms = errors.New("the hub has reached its limit of rooms, and all of them have readers")
	// ErrNotFound is returned for a message that is not stored.
	ErrNotFound = errors.New("no such message")
)

// Store keeps the messages of one hub and puts them in one order. Its methods
// may be called by any goroutine at any time; after Close they return
// [ErrClosed], and so do those that wait then. Those that wait for anything end
// with their context and its error. Any other error that is not documented means
// that the store cannot be reached now and that the outcome is unknown.
type Store interface {
	// Append stores drafts in one room in their order, all or none. It
	// returns when they are as safe as the store can make them and have been
	// handed to [Hub.Deliver]. A draft whose nonce the room has seen from its
	// owner is not stored again; its receipt is of the first message.
	//
	// If ctx ends before the outcome is known, its error is returned; the
	// drafts may still be stored.
	Append(ctx context.Context, room string, drafts []Draft) ([]Receipt, error)

	// Find returns the receipt that a repeat of an owner's nonce would get in a
	// room. Its Repeat is unset if no message was stored under that nonce
	// within [NonceLife].
	Find(ctx context.Context, room, owner, nonce string) (Receipt, error)

	// After returns the oldest messages of a span.
	After(ctx context.Context, span Span, limit int) (Page, error)

	// Before returns the newest messages of a room older than before, oldest
	// first. More tells of still older ones.
	Before(ctx context.Context, room string, before ID, limit int) (Page, error)

	// Tail tells where the newest n messages of rooms that are no newer than
	// upTo begin.
	Tail(ctx context.Context, rooms []string, upTo ID, n int) (Tail, error)

	// Delete removes one message for good and tells the hub, also one that is
	// kept for its nonce only. It returns [ErrNotFound] if there is none. The
	// nonce stays known, without the message.
	Delete(ctx context.Context, id ID) error

	// Forget removes all messages of a room, if it has any, and tells the hub.
	// Their nonces stay known, as those of deleted messages.
	Forget(ctx context.Context, room string) error

	// Limit changes what the store keeps.
	Limit(Limits)

	// State returns where the store's log begins and ends now.
	State() State

	// Close gives up what the store holds open. Messages under way are stored
	// or refused first.
	Close() error
}

// Lister is a [Store] that can tell which rooms hold messages. Operators of
// others see only rooms that are being read.
type Lister interface {
	// Rooms returns how many messages each room holds, without those that hold
	// none.
	Rooms(ctx context.Context) (map[string]int, error)
}

// Hub is whom a store serves. A store calls it from one goroutine at a time;
// none of these calls blocks, and none calls the store.
type Hub interface {
	// Deliver hands over messages that are now stored, in the order of their
	// ids, each once.
	Deliver([]*Message)
	// Deleted tells that a message is gone by [Store.Delete].
	Deleted(room string, id ID)
	// Forgotten tells that all messages of a room are gone, of which that one
	// was the newest.
	Forgotten(room string, through ID)
	// Reading reports whether a room has readers now.
	Reading(room string) bool
}

// Mirror is implemented by hubs that hold messages themselves. A store calls it
// as it calls [Hub].
type Mirror interface {
	// Dropped tells that the store has removed a room's messages up to an id
	// to free their memory, so the hub should not hold them any longer.
	Dropped(room string, through ID)
}

// Module is what a Caddy module of the namespace http.sse_chat.stores
// implements.
type Module interface {
	// Place names where the messages are kept, like "memory" or
	// "bolt /var/lib/chat.db". Handlers of one hub share a store if their
	// places are equal.
	Place() string
	// Open opens the store for a hub. The error names the file or server.
	Open(name string, hub Hub, limits Limits) (Store, error)
}

// Limits is what a store keeps.
type Limits struct {
	// Count is how many messages are kept for each room; 0 keeps none.
	Count int
	// Age is how long a message is kept; 0 is for ever.
	Age time.Duration
	// Rooms is how many rooms may hold messages. The one that was idle
	// longest and has no readers makes room for a new one.
	Rooms int
	// Size is how many bytes a store in memory may use; 0 leaves it to the
	// store. Others ignore it.
	Size int
}

// Receipt is what became of a draft.
type Receipt struct {
	// ID is the id of the stored message.
	ID ID
	// Message is the stored message, or nil if it was deleted or forgotten.
	Message *Message
	// Repeat tells that the message was stored before, under the same nonce.
	Repeat bool
}

// Span is the messages of some rooms that are newer than After and no newer
// than UpTo.
type Span struct {
	Rooms       []string
	After, UpTo ID
}

// Page is a part of what was asked for, oldest first.
type Page struct {
	Messages []*Message
	// More tells that further messages exist in the direction asked.
	More bool
	// Lost holds for each room of a span the newest message that retention
	// has removed, or the zero ID. If that is newer than the span's start, the
	// messages are not all that there were.
	Lost []ID
}

// Tail is the end of some rooms.
type Tail struct {
	// Start is the cursor from which the newest n messages follow.
	Start ID
	// Oldest and Newest are the ends of what the rooms hold, zero if nothing.
	Oldest, Newest ID
	// Lost is as in [Page].
	Lost []ID
}

// State is where a store's log begins and ends.
type State struct {
	// Origin is older than all ids that the log has ever given out. An id
	// before it belongs to another log, or to an earlier life of one that
	// does not outlive its process.
	Origin ID
	// Latest is the newest id given out, at least Origin.
	Latest ID
	// Durable tells that the log outlives the process.
	Durable bool
}
