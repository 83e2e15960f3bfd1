// Package hubtest opens hubs for tests of other packages.
package hubtest

import (
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// Plenty are limits that no test reaches.
var Plenty = store.Limits{Count: 1000, Rooms: 1000}

// New opens a hub with a store in memory, and closes it when the test ends.
func New(t testing.TB, limits store.Limits) *hub.Hub {
	t.Helper()
	h, err := hub.Open(limits, func(hub store.Hub, limits store.Limits) (store.Store, error) {
		return memory.Open(hub, limits), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// Publish publishes a text in a room and returns its id.
func Publish(t testing.TB, h *hub.Hub, room, text string) store.ID {
	t.Helper()
	receipts, err := h.Publish(t.Context(), room, store.Draft{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0].Message.ID
}

// Subscription returns a subscription to rooms with no special wishes.
func Subscription(rooms ...string) *hub.Subscription {
	return &hub.Subscription{Rooms: rooms, Heartbeat: 15 * time.Second, WriteTimeout: 10 * time.Second, Abort: func() {}}
}

// Subscribe subscribes to a hub. The caller must close the subscriber.
func Subscribe(t testing.TB, h *hub.Hub, sub *hub.Subscription) *hub.Subscriber {
	t.Helper()
	s, err := h.Subscribe(sub)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
