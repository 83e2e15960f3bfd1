package store

import "context"

// Relay is implemented by stores whose log is shared by hubs of several
// processes. Notices are not stored: only hubs that are connected now receive
// them.
type Relay interface {
	// Tell queues a notice for all other hubs of the log, best effort. It
	// returns an error if too many notices are queued already. Several
	// goroutines may call it at the same time.
	Tell(notice []byte) error
}

// Witness is implemented by stores whose log may lose its end or be replaced.
// For these, an id between the log's bounds need not belong to the log.
type Witness interface {
	// Witness reports whether the log, since it was created or last lost
	// messages, may have assigned id to a message or returned it as the start
	// of a [Tail]. It waits until this process has read what others have stored
	// up to there. Several goroutines may call it at the same time.
	Witness(ctx context.Context, id ID) (bool, error)
}

// Peer is implemented by hubs that can share a log with other hubs, or that
// report whether their log can be reached. As with [Hub], these methods must not
// block and must not call the store.
type Peer interface {
	// Told passes on a notice that another hub has sent by [Relay.Tell]. from
	// identifies that hub for as long as its store is open. Notices come one
	// at a time, but at the same time as any other method is called.
	Told(from string, notice []byte)
	// Began reports that the log has been read up to latest for the first
	// time, and that newer messages will be delivered from now on. It may come
	// before [Module.Open] returns, or much later if the log could not be
	// reached then.
	Began(latest ID)
	// Missed reports that messages of any room may be missing, which readers
	// must be told, and that messages newer than latest will be delivered from
	// now on. rollback is set if the log itself has lost messages.
	Missed(latest ID, rollback bool)
	// Skipped reports that entries newer than latest may have been removed from the log
	// before this process has read them. Readers are told of that by [Hub.Forgotten] if it
	// concerns their rooms.
	Skipped(latest ID)
	// Reached reports that the log can be reached, or why not. The same report
	// may come many times, from any goroutine, at the same time as any other
	// method is called.
	Reached(err error)
}
