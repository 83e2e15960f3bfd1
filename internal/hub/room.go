package hub

import (
	"container/list"
	"sync"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// room is what a broker knows of a room that is read, or was a moment ago: its
// newest messages and its readers.
type room struct {
	name string
	in   [roomSetKinds]atomic.Bool // which sets hold it

	// tip is the newest message, or nil if that is not known here.
	tip atomic.Pointer[tip]

	mu   sync.RWMutex // guards ring, floor and the setting of tip
	ring store.Log
	// floor is the newest message that the ring lacks: of what is newer it
	// has all, of what is older nothing.
	floor store.ID

	seatMu   sync.RWMutex // guards all below, and the seats' places
	readers  []reading
	watchers []*seat // those of readers who asked for named events
	presence presence.Presence
	feed     *presenceFeed // nil before there is a watcher

	deletions deletions

	vacancy *list.Element // in broker.vacant; guarded by broker.mu, as is
	vacated int64         // when the last reader left, in ticks
}

// seat is one subscriber's place in one room.
type seat struct {
	sub  *Subscriber
	room *room
	// where it is in the room's readers and watchers
	reader, watcher int
	seen            seenState
}

// reading is a seat in the list of all, which is walked for each message.
type reading struct {
	sub  *Subscriber
	seat *seat
}

// sit adds a seat to the room.
func (r *room) addSeat(s *seat) {
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	s.reader = len(r.readers)
	r.readers = append(r.readers, reading{s.sub, s})
	if s.sub.Events {
		s.watcher = len(r.watchers)
		r.watchers = append(r.watchers, s)
		if r.feed == nil {
			r.feed = new(presenceFeed)
		}
		r.feed.pending = true
	}
	r.presence.Arrive(*s.sub.Identity)
}

// rise takes a seat away. It reports whether the room is now without readers,
// and whether somebody is to depart from it later.
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

// counted reports whether anybody is present, perhaps one who has just left.
func (r *room) hasPresence() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return r.presence.Summary().Count > 0
}

func (r *room) occupied() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return len(r.readers) > 0
}

func (r *room) wakeWatchers() {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	for _, s := range r.watchers {
		s.sub.signal()
	}
}
