package store

import "context"

// Relay is implemented by stores whose log is shared by hubs of several
// processes. What goes through it is not stored: it reaches the hubs that are
// connected now, or nobody.
type Relay interface {
	// Tell sends a notice to all other hubs of the log. It does not wait for
	// them, but it may wait while the network hangs: whoever calls it holds no
	// lock.
	Tell(notice []byte) error
}

// Witness is implemented by stores whose log may lose its end or be replaced,
// so that an id within the log's bounds may still be unknown to it.
type Witness interface {
	// Witness reports whether the log may have given out an id in the life
	// that it now has, or a [Tail] that starts there. It waits for what other processes have stored.
	Witness(ctx context.Context, id ID) (bool, error)
}

// Peer is implemented by hubs that can share a log with others, and that want to
// know how the log is. A store calls it as it calls [Hub].
type Peer interface {
	// Told hands over a notice of [Relay.Tell]. from names the hub that sent
	// it, as long as that lives.
	Told(from string, notice []byte)
	// Began tells that a log could not be reached when it was opened, and that
	// messages newer than latest will be delivered from now on.
	Began(latest ID)
	// Missed tells that messages may be missing of which readers must be
	// told, all rooms alike, and that those newer than latest will be
	// delivered from now on. rollback tells that the log itself has lost them.
	Missed(latest ID, rollback bool)
	// Reached tells that the log can be reached again, or, with an error, why
	// it cannot be. The same may be told many times, by any goroutine.
	Reached(err error)
}
