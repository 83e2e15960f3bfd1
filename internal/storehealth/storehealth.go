// Package storehealth tracks whether writes to a store succeed.
package storehealth

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Health is whether the last write to the store succeeded. A store that
// monitors its connection reports to it as well; see [store.Peer.Reached].
type Health struct {
	fault   atomic.Pointer[error] // error of the last write; nil if it succeeded
	changed chan struct{}         // wakes watch
}

// New returns the health of a store that is up.
func New() Health { return Health{changed: make(chan struct{}, 1)} }

// Record records the result of a write.
func (h *Health) Record(err error) {
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
	for _, other := range []error{context.Canceled, store.ErrClosed, store.ErrTooManyRooms} {
		if errors.Is(err, other) {
			return false
		}
	}
	return !store.IsRefusal(err)
}

// Up reports whether the last write succeeded.
func (h *Health) Up() bool { return h.fault.Load() == nil }

// Watch calls report when writes begin to fail, with the error, and with nil when
// they succeed again, until done is closed. Transitions that revert before they
// were reported are dropped.
func (h *Health) Watch(done <-chan struct{}, report func(fault error)) {
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
