package push

import (
	"context"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
)

// watch is the state of polling the storage for subscriptions that other nodes have stored.
type watch struct {
	shelf *shelf
	after time.Time  // when it is due again
	done  chan error // nil if nobody looks now
	until time.Time  // how long messages wait for that
}

const (
	// loadLimit is how long reading the subscriptions may take.
	loadLimit = time.Minute
	// lookLimit is how long messages wait for that, after the first time.
	lookLimit = 2 * time.Second
	// lookAgain is when it is tried again after an error.
	lookAgain = 30 * time.Second
)

// look has the subscriptions read that other nodes have stored, if that is due. It waits for
// them the first time, and later not for long: a storage that hangs delays little.
func (r *rounds) look(d *desk) {
	w := &r.watch
	if w.shelf != d.shelf {
		*w = watch{shelf: d.shelf}
	}
	now := time.Now()
	if w.done == nil {
		if now.Before(w.after) {
			return
		}
		w.done, w.until = make(chan error, 1), now.Add(lookLimit)
		if !d.shelf.book.isComplete() {
			w.until = now.Add(loadLimit)
		}
		go lookInto(r.sender.ending, d.shelf.book, w.done)
	}
	late := time.NewTimer(time.Until(w.until))
	defer late.Stop()
	select {
	case err := <-w.done:
		w.done, w.after = nil, time.Now().Add(checkEvery)
		if err != nil && !r.isEnding() {
			w.after = time.Now().Add(lookAgain)
			r.sender.Counts.fail(reasonStorage)
			r.logOnce(d, reasonStorage, "push: the storage cannot be read", err)
		}
	case <-late.C:
	case <-r.sender.ending.Done():
	}
}

// lookInto reads what is new in a book, and sends the error.
func lookInto(ctx context.Context, b *book, done chan<- error) {
	var err error
	defer func() { done <- err }()
	defer contain.Panic("reading subscriptions", func() {})
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	if err = b.turn.take(ctx); err == nil {
		defer b.turn.give()
		err = b.refresh(ctx)
	}
}
