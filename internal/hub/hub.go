// Package hub implements a hub: its rooms and their rings, subscribers and their
// cursors, fan-out, presence, moderation, time limits, back-pressure, the health of
// its store, and the notices that it exchanges with its instances on other nodes.
// It knows neither HTTP nor Caddy's configuration.
package hub

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/inflight"
	"github.com/sse-chat/caddy-sse-chat/internal/kicks"
	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/internal/pages"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/storehealth"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Hub carries messages from its store to its subscribers.
//
// Publish appends a message to the store. The store orders it and hands it back
// through Deliver, which pushes it into the ring of its room and wakes the room's
// subscribers. A woken subscriber reads whatever lies between its cursor and the
// newest message, be that one message or a thousand: replay, catching up and live
// delivery are the same read.
//
// All methods are safe for concurrent use.
type Hub struct {
	store  store.Store
	opened time.Time
	sizes  bounds
	// Pace slows publishers down while delivery lags behind.
	Pace  *Pace
	pages *pages.Reader
	raw   store.RawFrames
	// latest is the newest id up to which the rings hold all stored messages.
	latest atomic.Pointer[store.ID]
	// logStart is where the log begins, if that was unknown when the hub was
	// opened; nil otherwise. Subscribers that have no cursor yet start there.
	logStart atomic.Pointer[store.ID]
	// Counts holds the hub's counters. It is safe for concurrent use.
	Counts Counts
	health storehealth.Health
	kicks  kicks.List

	nonces inflight.Nonces

	mu        sync.RWMutex // guards rooms, vacant, limits and followers
	rooms     map[string]*room
	vacant    list.List // rooms without readers, longest vacant first
	limits    store.Limits
	followers []Follower

	ringBytes atomic.Int64 // total bytes of all rings

	// The rooms with new messages to wake readers for, with other news for readers with
	// named events, with presence to announce, and with rings to trim.
	toWake, toTell, toAnnounce, toTrim roomSet

	wake chan struct{} // wakes dispatch when toWake or toTell is not empty

	clientMu sync.Mutex      // guards clients and people
	clients  map[string]int  // number of subscribers per client
	people   presence.People // who has streams in any room

	wheel      *wheel.Wheel[*Subscriber]
	departures departures
	peers      nodes.Peers
	outbox     nodes.Outbox
	inquiries  nodes.Inquiries
	tidied     int64                  // tick of the last tidy; used by tick only
	closing    atomic.Pointer[string] // reason why all streams end; nil while open
	done       chan struct{}          // closed by Close
	closeOnce  sync.Once
	closed     error // result of Close
}

// Limit changes the retention limits of the hub and its store.
func (h *Hub) Limit(limits store.Limits) {
	h.mu.Lock()
	changed := h.limits != limits
	h.limits = limits
	h.mu.Unlock()
	if changed {
		h.store.Limit(limits)
		h.pages.Forget()
	}
}

// Publish stores drafts in a room, all or none, and returns a receipt for each. It
// first waits if delivery lags behind; see [Pace]. The error is that of the store's
// Append.
func (h *Hub) Publish(ctx context.Context, room string, drafts ...store.Draft) ([]store.Receipt, error) {
	h.Pace.await(ctx)
	begin := time.Now()
	receipts, err := h.store.Append(ctx, room, drafts)
	h.Counts.Appends.Observe(time.Since(begin).Seconds())
	h.health.Record(err)
	if err != nil {
		return nil, err
	}
	for _, r := range receipts {
		if !r.Repeat {
			h.Counts.Published.Add(1)
		}
	}
	return receipts, nil
}

// Change makes a change in a message of a room, and returns its receipt. It first waits if
// delivery lags behind; see [Pace]. The error is that of the store's Change.
func (h *Hub) Change(ctx context.Context, room string, id store.ID, c store.Change) (store.Receipt, error) {
	h.Pace.await(ctx)
	c.Barred = h.IsKicked
	begin := time.Now()
	receipt, err := h.store.Change(ctx, room, id, c)
	h.Counts.Appends.Observe(time.Since(begin).Seconds())
	h.health.Record(err)
	if err == nil && !receipt.Repeat && !receipt.Unchanged {
		h.Counts.Changed.Add(c.Kind.String())
	}
	return receipt, err
}

// Rehearse returns what would become of a change. The error is that of the store's Change.
func (h *Hub) Rehearse(ctx context.Context, room string, id store.ID, c store.Change) (store.Receipt, error) {
	c.DryRun, c.Barred = true, h.IsKicked
	receipt, err := h.store.Change(ctx, room, id, c)
	if err != nil {
		h.health.Record(err) // but a success says nothing of writes
	}
	return receipt, err
}

// After returns up to limit of the oldest messages of a room that are newer than
// id, oldest first. The error is that of the store.
func (h *Hub) After(ctx context.Context, room string, id store.ID, limit int) (store.Page, error) {
	return h.store.After(ctx, store.Span{Rooms: []string{room}, After: id, UpTo: *h.latest.Load()}, limit)
}

// Before returns up to limit of the newest messages of a room that are older than
// id, oldest first. The error is that of the store.
func (h *Hub) Before(ctx context.Context, room string, id store.ID, limit int) (store.Page, error) {
	return h.store.Before(ctx, room, id, limit)
}

// State returns the current bounds of the log in the hub's store.
func (h *Hub) State() store.State { return h.store.State() }

// Dropped implements [store.Mirror].
func (h *Hub) Dropped(name string, through store.ID) {
	if r := h.room(name); r != nil {
		h.ringBytes.Add(r.release(through))
	}
}

// Reading implements [store.Hub].
func (h *Hub) Reading(name string) bool {
	r := h.room(name)
	return r != nil && r.occupied() || h.peers.In(name, time.Now()) != nil
}

func (h *Hub) room(name string) *room {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rooms[name]
}

// FindRepeats finds the repeats among drafts for a room. The error is that of the store.
func (h *Hub) FindRepeats(ctx context.Context, room string, drafts []store.Draft) (*inflight.Repeats, error) {
	return inflight.FindRepeats(ctx, h.store, room, drafts)
}

// BeginNonces waits until none of the drafts' nonces is being written to the store,
// and then reserves them until end is called. The error is that ctx has ended.
func (h *Hub) BeginNonces(ctx context.Context, room string, drafts []store.Draft) (end func(), err error) {
	return h.nonces.Begin(ctx, room, drafts)
}

// Reached implements [store.Peer].
func (h *Hub) Reached(err error) { h.health.Record(err) }

// StoreUp reports whether the last write to the store succeeded and, if the store
// monitors its connection, whether it is connected.
func (h *Hub) StoreUp() bool { return h.health.Up() }

// WatchStore calls report when writes to the store begin to fail, with the error,
// and with nil when they succeed again, until the hub is closed. It blocks until
// then. Transitions that revert before they were reported are dropped.
func (h *Hub) WatchStore(report func(fault error)) { h.health.Watch(h.done, report) }

// Interface guards
var (
	_ store.Hub    = (*Hub)(nil)
	_ store.Mirror = (*Hub)(nil)
	_ store.Peer   = (*Hub)(nil)
)
