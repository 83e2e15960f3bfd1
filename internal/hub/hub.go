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

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
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
	store store.Store
	sizes bounds
	// Pace slows publishers down while delivery lags behind.
	Pace  *Pace
	pages *pageReader
	// latest is the newest id up to which the rings hold all stored messages.
	latest atomic.Pointer[store.ID]
	// logStart is where the log begins, if that was unknown when the hub was
	// opened; nil otherwise. Subscribers that have no cursor yet start there.
	logStart atomic.Pointer[store.ID]
	// Counts holds the hub's counters. It is safe for concurrent use.
	Counts Counts
	health storeHealth
	kicks  kicks

	nonces noncesInFlight

	mu     sync.RWMutex // guards rooms, vacant and limits
	rooms  map[string]*room
	vacant list.List // rooms without readers, longest vacant first
	limits store.Limits

	ringBytes atomic.Int64 // total bytes of all rings

	// The rooms with new messages to wake readers for, with presence to announce,
	// and with rings to trim.
	toWake, toAnnounce, toTrim roomSet

	wake chan struct{} // wakes dispatch when toWake is not empty

	clientMu sync.Mutex     // guards clients
	clients  map[string]int // number of subscribers per client

	wheel      *wheel.Wheel[*Subscriber]
	departures departures
	peers      nodes.Peers
	outbox     nodes.Outbox
	tidied     int64                  // tick of the last tidy; used by tick only
	closing    atomic.Pointer[string] // reason why all streams end; nil while open
	done       chan struct{}          // closed by Close
	closeOnce  sync.Once
	closed     error // result of Close
}

// Open opens a hub with the store that open returns for the hub and the limits. The
// error is that of open.
func Open(limits store.Limits, open func(store.Hub, store.Limits) (store.Store, error)) (*Hub, error) {
	h := &Hub{
		sizes:      usualBounds.within(limits.Size),
		Pace:       newPace(),
		Counts:     newCounts(),
		health:     newStoreHealth(),
		rooms:      make(map[string]*room),
		limits:     limits,
		toAnnounce: roomSet{kind: announceSet},
		toTrim:     roomSet{kind: trimSet},
		outbox:     nodes.NewOutbox(),
		clients:    make(map[string]int),
		wake:       make(chan struct{}, 1),
		done:       make(chan struct{}),
	}
	h.wheel = wheel.New[*Subscriber](h.tickSafely)
	h.pages = newPageReader(ReadTimeout, func(ctx context.Context, span store.Span) (store.Page, error) {
		return h.store.After(ctx, span, h.sizes.page)
	})
	h.latest.Store(new(store.ID))
	st, err := open(h, limits)
	if err != nil {
		return nil, err
	}
	h.store = st
	h.advance(st.State().Latest)
	go h.dispatch()
	h.startNodes()
	return h, nil
}

// Limit changes the retention limits of the hub and its store.
func (h *Hub) Limit(limits store.Limits) {
	h.mu.Lock()
	changed := h.limits != limits
	h.limits = limits
	h.mu.Unlock()
	if changed {
		h.store.Limit(limits)
		h.pages.forget()
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
	h.health.record(err)
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

// Deleted implements [store.Hub].
func (h *Hub) Deleted(name string, id store.ID) {
	h.pages.forget()
	if r := h.room(name); r != nil {
		h.ringBytes.Add(r.delete(id))
	}
}

// Forgotten implements [store.Hub].
func (h *Hub) Forgotten(name string, through store.ID) {
	h.pages.forget()
	if r := h.room(name); r != nil {
		h.ringBytes.Add(r.forget(through))
	}
}

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

// tidyEvery is how often a hub trims rings and drops vacant rooms and silent peers.
const tidyEvery = 20 // ticks

// tickSafely calls tick. After a panic it asks to be called again, so that one
// fault does not stop the hub's clock.
func (h *Hub) tickSafely(now int64) (wait bool) {
	defer contain.Panic("what is due in a hub", func() { wait = true })
	return h.tick(now)
}

// tick does the hub's own periodic work. It reports whether to call it again.
func (h *Hub) tick(now int64) (wait bool) {
	for _, d := range h.departures.due(now) {
		d.room.seatMu.Lock()
		d.room.presence.ExpireLeavers(now)
		d.room.seatMu.Unlock()
		// peers are sent the room by name, because it may have been dropped and
		// made anew
		h.presenceChanged(d.room)
	}
	for _, r := range h.toAnnounce.take(nil) {
		if r.announcePresence(now) {
			h.toAnnounce.add(r)
		}
	}
	if now-h.tidied >= tidyEvery {
		h.tidied = now
		h.tidy(now)
		h.expirePeers()
	}
	queued := h.outbox.Tick(now)
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.closing.Load() == nil && (queued || len(h.rooms) > 0)
}

// tidy trims rings that grew in a flood, and drops rooms that have long been
// without readers.
func (h *Hub) tidy(now int64) {
	nowMs := time.Now().UnixMilli()
	for _, r := range h.toTrim.take(nil) {
		grown, oversized := r.trim(&h.sizes, h.ringBytes.Load(), nowMs)
		h.ringBytes.Add(grown)
		if oversized {
			h.toTrim.add(r)
		}
	}
	for h.dropVacant(now) {
	}
}

// EndAll ends all streams for a reason, including those that outlived an earlier
// configuration. New streams end at once. A stream whose write stalls for longer
// than [GoodbyeLimit] is cut off. Only the first call has an effect.
func (h *Hub) EndAll(reason string) {
	if h.closing.CompareAndSwap(nil, &reason) {
		h.wheel.Each(func(s *Subscriber) { s.End(reason) })
		h.wheel.Hasten(goodbyeTicks) // or a stalled stream would be checked only at its own limit
	}
}

// Close ends all streams and closes the store. Streams may take a moment longer to
// say goodbye, for which they do not need the store. Further calls return the same
// error, which is that of the store.
func (h *Hub) Close() error {
	h.closeOnce.Do(func() { h.closed = h.closeNow() })
	return h.closed
}

func (h *Hub) closeNow() error {
	h.EndAll(EndReload)
	h.outbox.Close()
	h.wheel.Close()
	close(h.done)
	return h.store.Close()
}

// Done returns a channel that is closed when the hub is closed.
func (h *Hub) Done() <-chan struct{} { return h.done }

// Interface guards
var _ store.Mirror = (*Hub)(nil)
