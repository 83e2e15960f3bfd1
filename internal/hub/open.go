package hub

import (
	"context"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/internal/pages"
	"github.com/sse-chat/caddy-sse-chat/internal/storehealth"
	"github.com/sse-chat/caddy-sse-chat/internal/wheel"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Open opens a hub with the store that open returns for the hub and the limits. The
// error is that of open.
func Open(limits store.Limits, open func(store.Hub, store.Limits) (store.Store, error)) (*Hub, error) {
	h := &Hub{
		opened:     time.Now(),
		sizes:      usualBounds.within(limits.Size),
		Pace:       newPace(),
		Counts:     newCounts(),
		health:     storehealth.New(),
		rooms:      make(map[string]*room),
		limits:     limits,
		toTell:     roomSet{kind: tellSet},
		toAnnounce: roomSet{kind: announceSet},
		toTrim:     roomSet{kind: trimSet},
		outbox:     nodes.NewOutbox(),
		clients:    make(map[string]int),
		wake:       make(chan struct{}, 1),
		done:       make(chan struct{}),
	}
	h.wheel = wheel.New[*Subscriber](h.tickSafely)
	h.pages = pages.NewReader(ReadTimeout, func(ctx context.Context, span store.Span) (store.Page, error) {
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
		h.expirePeople(now)
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
