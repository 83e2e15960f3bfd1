package hub

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// storeHealth is whether the last write to the store succeeded. A store that
// monitors its connection reports to it as well; see [Hub.Reached].
type storeHealth struct {
	fault   atomic.Pointer[error] // error of the last write; nil if it succeeded
	changed chan struct{}         // wakes watch
}

func newStoreHealth() storeHealth { return storeHealth{changed: make(chan struct{}, 1)} }

// record records the result of a write.
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

// unreachable reports whether a write's error means that the store is down, rather
// than that it refused the write, or that the writer stopped waiting.
func unreachable(err error) bool {
	for _, other := range []error{context.Canceled, store.ErrClosed, store.ErrTooManyRooms, store.ErrNotFound} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// up reports whether the last write succeeded.
func (h *storeHealth) up() bool { return h.fault.Load() == nil }

// watch calls report when writes begin to fail, with the error, and with nil when
// they succeed again, until done is closed. Transitions that revert before they
// were reported are dropped.
func (h *storeHealth) watch(done <-chan struct{}, report func(fault error)) {
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
			report(nil)
		} else {
			report(*fault)
		}
	}
}

// Reached implements [store.Peer].
func (h *Hub) Reached(err error) { h.health.record(err) }

// StoreUp reports whether the last write to the store succeeded and, if the store
// monitors its connection, whether it is connected.
func (h *Hub) StoreUp() bool { return h.health.up() }

// WatchStore calls report when writes to the store begin to fail, with the error,
// and with nil when they succeed again, until the hub is closed. It blocks until
// then. Transitions that revert before they were reported are dropped.
func (h *Hub) WatchStore(report func(fault error)) { h.health.watch(h.done, report) }
