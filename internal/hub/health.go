package hub

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// storeHealth is whether the last write to a store went well. A store that
// knows by itself whether it can be written to tells that too.
type storeHealth struct {
	fault   atomic.Pointer[error] // of the last write; nil if that went well
	changed chan struct{}         // for watch
}

func newStoreHealth() storeHealth { return storeHealth{changed: make(chan struct{}, 1)} }

// wrote takes note of how a write has ended.
func (h *storeHealth) record(err error) {
	if err != nil && !unreachable(err) {
		return
	}
	if err == nil {
		if h.fault.Load() == nil || h.fault.Swap(nil) == nil {
			return
		}
	} else if h.fault.Swap(&err) != nil {
		return
	}
	wake.Up(h.changed)
}

// unreachable reports whether an error of a write tells that the store is
// down, rather than that it refused, or that the writer did not wait for it.
func unreachable(err error) bool {
	for _, other := range []error{context.Canceled, store.ErrClosed, store.ErrTooManyRooms, store.ErrNotFound} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// up reports whether the last write went well.
func (h *storeHealth) up() bool { return h.fault.Load() == nil }

// watch calls tell whenever writes begin to fail, with why, and with nil when
// they go well again, until done is closed. What changes back before it was
// told is not told.
func (h *storeHealth) watch(done <-chan struct{}, tell func(fault error)) {
	up := true
	for {
		select {
		case <-h.changed:
		case <-done:
			return
		}
		fault := h.fault.Load()
		if up == (fault == nil) {
			continue
		}
		if up = fault == nil; up {
			tell(nil)
		} else {
			tell(*fault)
		}
	}
}

// Reached implements [store.Peer].
func (h *Hub) Reached(err error) { h.health.record(err) }

// StoreUp reports whether the last write to the store went well, and it can be
// reached as far as it knows.
func (h *Hub) StoreUp() bool { return h.health.up() }

// WatchStore calls tell whenever writes to the store begin to fail, with why, and
// with nil when they go well again, until the hub is closed. Changes that revert
// before they were reported are dropped.
func (h *Hub) WatchStore(tell func(fault error)) { h.health.watch(h.done, tell) }
