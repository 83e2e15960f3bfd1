// Package hub is one hub: its rooms, the subscribers that read them and what each
// reads next, who is present, moderation, time limits, back-pressure, the health of
// its store, and what it tells its instances on other nodes. It knows neither HTTP
// nor Caddy's configuration.
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

// Hub carries the messages of one hub from its store to its readers. It
// knows no HTTP: a reader is a [Subscriber], whoever writes for it.
//
// A message goes to the store, which puts it in order and hands it back
// through Deliver; from there it goes into the ring of its room, and whoever
// reads the room is woken. What a woken subscriber reads is whatever lies
// between its cursor and the newest message, be that one message or a
// thousand: replay, catching up and live delivery are the same read.
//
// All methods are safe for concurrent use.
type Hub struct {
	store store.Store
	sizes bounds
	Pace  *Pace
	pages *pageReader
	// latest is the id up to which all stored messages are in the rings.
	latest atomic.Pointer[store.ID]
	// began is the id after which a log begins that was not known at first.
	logStart atomic.Pointer[store.ID]
	Counts   Counts
	health   storeHealth
	kicks    kicks

	nonces noncesInFlight

	mu     sync.RWMutex // guards rooms, vacant and limits
	rooms  map[string]*room
	vacant list.List // rooms without readers, the first to be dropped in front
	limits store.Limits

	ringBytes atomic.Int64 // size of all rings

	toWake, toAnnounce, toTrim roomSet

	wake chan struct{} // for dispatch, when dirty is not empty

	clientMu sync.Mutex     // guards clients
	clients  map[string]int // how many subscribers each has

	wheel      *wheel.Wheel[*Subscriber]
	departures departures
	peers      nodes.Peers
	outbox     nodes.Outbox
	tidied     int64                  // when, in ticks; only tick touches it
	closing    atomic.Pointer[string] // why all streams end; nil while open
	done       chan struct{}          // closed by close
	closeOnce  sync.Once
	closed     error // what close returns
}

// Open opens a hub on the store that open makes for it.
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

// Limit changes what the hub keeps.
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

// Publish stores drafts in a room, all or none, and returns them as stored.
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

// After returns the oldest messages of a room that are newer than id, and before
// the newest that are older, both oldest first.
func (h *Hub) After(ctx context.Context, room string, id store.ID, limit int) (store.Page, error) {
	return h.store.After(ctx, store.Span{Rooms: []string{room}, After: id, UpTo: *h.latest.Load()}, limit)
}

func (h *Hub) Before(ctx context.Context, room string, id store.ID, limit int) (store.Page, error) {
	return h.store.Before(ctx, room, id, limit)
}

// State returns where the log of the hub's store begins and ends now.
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

// tidyEvery is how often a hub looks for what it need not keep any more.
const tidyEvery = 20 // ticks

// tickSafely is tick, which a panic does not keep from being called again.
func (h *Hub) tickSafely(now int64) (wait bool) {
	defer contain.Panic("what is due in a hub", func() { wait = true })
	return h.tick(now)
}

// tick does what is due for no single subscriber. It reports whether there is
// more to wait for.
func (h *Hub) tick(now int64) (wait bool) {
	for _, d := range h.departures.due(now) {
		d.room.seatMu.Lock()
		d.room.presence.ExpireLeavers(now)
		d.room.seatMu.Unlock()
		// by its name, because the room may have been dropped and made anew
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

// tidy trims rings that were full in a flood, and drops rooms that were
// without readers for long.
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

// EndAll ends all streams for a reason, those of earlier configurations too.
// New ones end at once. A stalled one is cut after the goodbye limit.
func (h *Hub) EndAll(reason string) {
	if h.closing.CompareAndSwap(nil, &reason) {
		h.wheel.Each(func(s *Subscriber) { s.End(reason) })
		h.wheel.Hasten(goodbyeTicks) // a stalled one has to be cut
	}
}

// Close ends all streams and gives up the store. Streams may need a moment
// longer to say goodbye; nothing they do then needs the store. It may be called
// more than once.
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

// Done returns a channel that is closed when the hub is.
func (h *Hub) Done() <-chan struct{} { return h.done }

// Interface guards
var _ store.Mirror = (*Hub)(nil)
