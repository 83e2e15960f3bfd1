package store

import "context"

// RoomFinder is implemented by stores that can tell a reader of the whole log which rooms it
// has to read. Several goroutines may call Since at the same time.
type RoomFinder interface {
	// Since returns the rooms that may have entries newer than id, or have lost some; and
	// the newest loss of those rooms that the store does not hold any more, or the zero ID.
	Since(ctx context.Context, id ID) (rooms []string, lost ID, err error)
}

// Cursors is implemented by stores that remember how far a reader of the whole log has
// come, longer than the process lives. Each reader has a name. Several goroutines may call
// the methods at the same time.
type Cursors interface {
	// OpenCursor takes a reader's cursor for this process. A new one is at the newest id of
	// the log, and stored at once. A store that several processes share waits until no other
	// one has the cursor, or until ctx ends, and then returns its error. The caller must
	// close the cursor.
	OpenCursor(ctx context.Context, name string) (Cursor, error)
	// DropCursor removes a cursor that this process has closed or never opened, so that the
	// next one begins anew. In a store that several processes share it leaves one that
	// another process has, or had last.
	DropCursor(ctx context.Context, name string) error
}

// Cursor is how far one reader has come. Its methods may be called by several goroutines
// at the same time, Close by one.
type Cursor interface {
	// At returns the place at which the reader goes on: where the cursor was when it was
	// opened.
	At() ID
	// Save stores the place. After an error it may be stored or not.
	Save(ctx context.Context, id ID) error
	// Lost returns a channel that is closed when another process may have the cursor. It is
	// nil in a store that no processes share.
	Lost() <-chan struct{}
	// Close gives the cursor up, so that another process can have it at once.
	Close(ctx context.Context) error
}
