package hub

import (
	"container/list"
	"sync"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/notices"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// room is a room that has readers, or had some a moment ago: its newest messages
// and its readers.
type room struct {
	name string
	in   [roomSetKinds]atomic.Bool // the sets that contain it

	// tip is the newest message; nil if it has to be looked up in the ring.
	tip atomic.Pointer[tip]

	mu   sync.RWMutex // guards ring, floor, notices and writes of tip
	ring store.Log
	// floor is the newest id that the ring lacks: the ring has all newer messages
	// and no older ones.
	floor store.ID

	notices notices.Ring

	seatMu   sync.RWMutex // guards all below up to signals, and the seats' indexes
	readers  []reading
	watchers []*seat // seats of readers with named events
	presence presence.Presence
	feed     *presenceFeed // nil before the first watcher

	signals signals

	vacancy *list.Element // element of Hub.vacant; nil while there are readers; guarded by Hub.mu
	vacated int64         // tick at which the last reader left; guarded by Hub.mu
}

// seat is a subscriber's membership in one room.
type seat struct {
	sub  *Subscriber
	room *room
	// index in the room's readers and watchers
	reader, watcher int
	seen            seenState
}

// reading is an entry in the list of readers. Fan-out walks that for each message,
// so it has the subscriber without another pointer to follow.
type reading struct {
	sub  *Subscriber
	seat *seat
}

// addSeat adds a seat to the room.
func (r *room) addSeat(s *seat) {
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	s.reader = len(r.readers)
	r.readers = append(r.readers, reading{s.sub, s})
	if s.sub.Events {
		s.watcher = len(r.watchers)
		r.watchers = append(r.watchers, s)
		s.seen.signals = r.signals.total.Load()
		if r.feed == nil {
			r.feed = new(presenceFeed)
		}
		r.feed.pending = true
	}
	r.presence.Arrive(*s.sub.Identity)
}

// removeSeat removes a seat. It reports whether the room is now without readers,
// and whether ExpireLeavers has to be called later.
func (r *room) removeSeat(s *seat, now int64) (vacant, pending bool) {
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	last := len(r.readers) - 1
	r.readers[s.reader] = r.readers[last]
	r.readers[s.reader].seat.reader = s.reader
	r.readers[last] = reading{}
	r.readers = r.readers[:last]
	if s.sub.Events {
		last := len(r.watchers) - 1
		r.watchers[s.watcher] = r.watchers[last]
		r.watchers[s.watcher].watcher = s.watcher
		r.watchers[last] = nil
		if r.watchers = r.watchers[:last]; last == 0 {
			r.feed.whole, r.feed.brief = frame{}, frame{}
		}
	}
	pending = r.presence.Leave(*s.sub.Identity, now)
	return len(r.readers) == 0, pending
}

// hasPresence reports whether anybody on this node is counted as present.
func (r *room) hasPresence() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return r.presence.Summary().Count > 0
}

// occupied reports whether the room has readers.
func (r *room) occupied() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return len(r.readers) > 0
}

// tip is the newest message of a room and the id of the one before it.
type tip struct {
	message *store.Message
	after   store.ID
}

// announcePresence announces the room's presence if it is due, and wakes the
// watchers that have not seen it. It reports whether to call it again later.
func (r *room) announcePresence(now int64) (more bool) {
	r.seatMu.Lock()
	if len(r.watchers) == 0 {
		r.seatMu.Unlock()
		return false // a new watcher gets the current presence anyway
	}
	more = r.feed.announce(&r.presence, now)
	pending := r.feed.pending
	r.feed.pending = false
	r.seatMu.Unlock()
	if pending && r.wakeBehind(now) {
		more = true
		r.seatMu.Lock()
		r.feed.pending = true
		r.seatMu.Unlock()
	}
	return more
}

// wakeBehind wakes the watchers that have not seen the newest announcement and may
// be sent an event now. It reports whether any watcher has not seen it.
func (r *room) wakeBehind(now int64) (behind bool) {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	for _, s := range r.watchers {
		if !s.seen.needsPresence(r.feed) {
			continue
		}
		behind = true
		if s.seen.presenceDue(now) {
			s.sub.signal()
		}
	}
	return behind
}

// presenceEvent returns the presence event for the seat's watcher and records it
// as seen.
func (s *seat) presenceEvent(now int64) []byte {
	r := s.room
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	event, whole := r.feed.event(r.name, &r.presence, &s.seen)
	s.seen.presence.Store(event.version)
	if whole {
		s.seen.names.Store(event.version)
	}
	s.seen.presenceAt.Store(now)
	return event.bytes
}
