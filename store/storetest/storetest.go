// Package storetest tests that a store keeps the promises of [store.Store]. The tests
// of each store call [Run].
package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Open opens an empty store that is closed when the test ends.
type Open func(t *testing.T, hub store.Hub, limits store.Limits) store.Store

// Plenty has limits that no test reaches.
var Plenty = store.Limits{Count: 1 << 20, Rooms: 1 << 20}

// Run runs all tests of the suite.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"messages are delivered once, in order, before Append returns", testDeliver},
		{"a batch is contiguous", testBatch},
		{"concurrent publishers get one order", testConcurrent},
		{"a nonce answers the first message", testNonce},
		{"a nonce outlives what is kept", testNonceOutlivesRetention},
		{"a nonce outlives a room that made room", testNonceOutlivesRoom},
		{"a nonce belongs to its owner", testNonceOwners},
		{"owners who race with one nonce get a message each", testNonceOwnersRace},
		{"a deleted message is not answered again", testNonceOfDeleted},
		{"a message that only its nonce keeps can be deleted", testNonceDeletedLate},
		{"a forgotten message is not answered again", testNonceOfForgotten},
		{"no repeat is answered with what is deleted meanwhile", testNonceDeletedMeanwhile},
		{"retention by count tells what is lost", testCount},
		{"retention by age tells what is lost", testAge},
		{"nothing is kept with a count of 0", testKeepNothing},
		{"limits change at once", testLimit},
		{"the idlest room without readers makes room", testRooms},
		{"a room is not dropped while it is read", testRoomsRead},
		{"a deleted message is gone and no loss", testDelete},
		{"a forgotten room is a loss", testForget},
		{"a store that can tells which rooms hold messages", testRoomList},
		{"a closed store says so", testClosed},
		{"whatever a message is made of comes back", testRoundTrip},
		{"pages of many rooms come in one order while messages come in", testFollow},
		{"one who gives up does not hold up others", testGiveUp},
		{"a change is passed on, and read in place of what it has replaced", testChange},
		{"only who may changes a message", testChangeRefused},
		{"reactions are counted once each, up to a limit", testReactions},
		{"a change with a nonce is made once", testChangeNonce},
		{"a dry run tells what would become of a change", testDryRun},
		{"its author deletes a message", testAuthorDeletes},
		{"who was away learns of each changed message once", testRevisions},
		{"what is newer than a page is not silent", testAhead},
		{"readers are told of deletions of messages newer than they have read", testDeletedAhead},
		{"a page of notices is short", testPageOfNotices},
		{"a change in a dropped room is no loss for others", testChangedRoomDropped},
		{"a reader who begins with the newest messages lacks no deletion", testTailOfUnknown},
		{"what a deletion leaves goes with the messages of its time", testGraves},
		{"who was away is told which rooms have news", testSince},
		{"changes at the same time are all made", testChangesRace},
		{"a closed store changes nothing", testChangeClosed},
		{"it behaves as a naive model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// Hub records the calls of a store. Its methods may be called by several goroutines
// at the same time.
type Hub struct {
	mu        sync.Mutex
	delivered []*store.Message
	changed   []*store.Message // as they were after each change
	deltas    []*store.Message
	deleted   []store.ID
	forgotten []string
	read      map[string]bool
}

// Deliver implements [store.Hub].
func (h *Hub) Deliver(messages []*store.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered = append(h.delivered, messages...)
}

// Changed implements [store.Hub].
func (h *Hub) Changed(now, delta *store.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = append(h.changed, now)
	h.deltas = append(h.deltas, delta)
}

// Deltas returns all deltas passed on so far.
func (h *Hub) Deltas() []*store.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.deltas)
}

// Deleted implements [store.Hub].
func (h *Hub) Deleted(_ string, id, _ store.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deleted = append(h.deleted, id)
}

// Forgotten implements [store.Hub].
func (h *Hub) Forgotten(room string, _, _ store.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten = append(h.forgotten, room)
}

// Reading implements [store.Hub].
func (h *Hub) Reading(room string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.read[room]
}

// Read sets whether a room has readers.
func (h *Hub) Read(room string, read bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.read == nil {
		h.read = make(map[string]bool)
	}
	h.read[room] = read
}

// Delivered returns all messages delivered so far.
func (h *Hub) Delivered() []*store.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.delivered)
}

// Text returns a draft with a text.
func Text(format string, args ...any) store.Draft {
	return store.Draft{Text: fmt.Sprintf(format, args...)}
}

// MustAppend stores drafts and returns the messages.
func MustAppend(t testing.TB, s store.Store, room string, drafts ...store.Draft) []*store.Message {
	t.Helper()
	receipts, err := s.Append(context.Background(), room, drafts)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	messages := make([]*store.Message, len(receipts))
	for i, r := range receipts {
		messages[i] = r.Message
	}
	return messages
}

func ids(messages []*store.Message) []store.ID {
	list := make([]store.ID, len(messages))
	for i, m := range messages {
		list[i] = m.ID
	}
	return list
}

// all returns all messages of rooms after an id. It reads them page by page.
func all(t *testing.T, s store.Store, after store.ID, rooms ...string) (found []store.ID, lost []store.ID) {
	t.Helper()
	span := store.Span{Rooms: rooms, After: after, UpTo: s.State().Latest}
	for first := true; ; first = false {
		page, err := s.After(t.Context(), span, 7)
		if err != nil {
			t.Fatalf("After: %v", err)
		}
		if first {
			lost = page.Lost
		}
		found = append(found, ids(page.Messages)...)
		if !page.More {
			return found, lost
		}
		span.After = found[len(found)-1]
	}
}

func equal(t *testing.T, what string, got, want []store.ID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
