package ssechat

import (
	"container/list"
	"math"
	"sync"
	"sync/atomic"

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
	presence presence
	telling  *telling // nil before there is a watcher

	deletions deletions

	vacancy *list.Element // in broker.vacant; guarded by broker.mu, as is
	vacated int64         // when the last reader left, in ticks
}

// tip is the newest message of a room, and the newest before it.
type tip struct {
	message *store.Message
	after   store.ID
}

// push adds the newest message. It returns by how many bytes the ring grew and
// whether it is longer than usual now. all is the size of all rings.
func (r *room) push(m *store.Message, bounds *sizes, all int64) (grown int64, swollen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	after := r.floor
	if n := r.ring.Len(); n > 0 {
		after = r.ring.At(n - 1).ID
	}
	r.ring.Push(m)
	r.tip.Store(&tip{m, after})
	r.shorten(bounds, all, m.ID.Ms)
	return int64(r.ring.Bytes() - before), bounds.swollen(&r.ring)
}

// trim does what push does when nothing is pushed any more.
func (r *room) trim(bounds *sizes, all, nowMs int64) (grown int64, swollen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.shorten(bounds, all, nowMs)
	return int64(r.ring.Bytes() - before), bounds.swollen(&r.ring)
}

func (r *room) shorten(bounds *sizes, all, nowMs int64) {
	for bounds.tooLong(&r.ring, all, nowMs) {
		r.floor = r.ring.Shift().ID
	}
}

// swollen reports whether a ring is longer than usual.
func (b *sizes) swollen(ring *store.Log) bool {
	return ring.Len() > b.ringMessages || ring.Bytes() > b.ringBytes
}

// tooLong reports whether a ring has to lose its oldest message.
func (b *sizes) tooLong(ring *store.Log, all, nowMs int64) bool {
	switch n := ring.Len(); {
	case all > b.allRingBytes:
		return n > b.crowdedMessages
	case !b.swollen(ring):
		return false
	default:
		return n > b.floodMessages || ring.Bytes() > b.floodBytes || nowMs-ring.At(0).ID.Ms > b.floodTime.Milliseconds()
	}
}

// delete removes one message and tells those who asked for named events. It
// returns by how many bytes the ring grew.
func (r *room) delete(id store.ID) int64 {
	r.mu.Lock()
	before := r.ring.Bytes()
	r.ring.Remove(id)
	r.tip.Store(nil)
	grown := int64(r.ring.Bytes() - before)
	r.mu.Unlock()

	r.deletions.add(id)
	r.wakeWatchers()
	return grown
}

// forget removes all messages up to an id.
func (r *room) forget(through store.ID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.tip.Store(nil)
	for r.ring.Len() > 0 && !r.ring.At(0).ID.After(through) {
		r.ring.Shift()
	}
	r.floor = store.Newest(r.floor, through)
	return int64(r.ring.Bytes() - before)
}

// release removes messages up to an id that the store holds no longer, to free
// their memory. Unlike forget it leaves readers of newer ones alone.
func (r *room) release(through store.ID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	if tip := r.tip.Load(); tip != nil && !tip.message.ID.After(through) {
		r.tip.Store(nil)
	}
	for r.ring.Len() > 0 && !r.ring.At(0).ID.After(through) {
		r.ring.Shift()
	}
	r.floor = store.Newest(r.floor, through)
	return int64(r.ring.Bytes() - before)
}

// clear empties the ring of a room that nobody will find any more.
func (r *room) clear() (grown int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	grown = -int64(r.ring.Bytes())
	r.ring.Clear()
	r.tip.Store(nil)
	return grown
}

// retained returns the newest id of which a reader who comes back with it may
// miss something in the ring under limits: what is older is kept only for
// readers who never left.
func (r *room) retained(limits store.Limits, nowMs int64) store.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := max(0, r.ring.Len()-limits.Count)
	if limits.Age > 0 {
		from = max(from, r.ring.After(store.ID{Ms: nowMs - limits.Age.Milliseconds(), N: ^uint64(0)}))
	}
	if from == 0 {
		return r.floor
	}
	return r.ring.At(from - 1).ID
}

// seat is one subscriber's place in one room.
type seat struct {
	sub  *subscriber
	room *room
	// where it is in the room's readers and watchers
	reader, watcher int
	told            told
}

// reading is a seat in the list of all, which is walked for each message.
type reading struct {
	sub  *subscriber
	seat *seat
}

// sit adds a seat to the room.
func (r *room) sit(s *seat) {
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	s.reader = len(r.readers)
	r.readers = append(r.readers, reading{s.sub, s})
	if s.sub.events {
		s.watcher = len(r.watchers)
		r.watchers = append(r.watchers, s)
		if r.telling == nil {
			r.telling = new(telling)
		}
		r.telling.pending = true
	}
	r.presence.arrive(*s.sub.identity)
}

// rise takes a seat away. It reports whether the room is now without readers,
// and whether somebody is to depart from it later.
func (r *room) rise(s *seat, now int64) (vacant, pending bool) {
	r.seatMu.Lock()
	defer r.seatMu.Unlock()
	last := len(r.readers) - 1
	r.readers[s.reader] = r.readers[last]
	r.readers[s.reader].seat.reader = s.reader
	r.readers[last] = reading{}
	r.readers = r.readers[:last]
	if s.sub.events {
		last := len(r.watchers) - 1
		r.watchers[s.watcher] = r.watchers[last]
		r.watchers[s.watcher].watcher = s.watcher
		r.watchers[last] = nil
		if r.watchers = r.watchers[:last]; last == 0 {
			r.telling.whole, r.telling.brief = frame{}, frame{}
		}
	}
	pending = r.presence.leave(*s.sub.identity, now)
	return len(r.readers) == 0, pending
}

// counted reports whether anybody is present, perhaps one who has just left.
func (r *room) counted() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return r.presence.summary().count > 0
}

func (r *room) occupied() bool {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	return len(r.readers) > 0
}

// wakeEvery is how many handlers are woken before they get the core: with many
// more in the scheduler's queue, each of the hops that their writes take over
// HTTP/2 would wait for all others, and so would publishers.
const wakeEvery = 2

// wakeAll wakes all readers, from the last to the first: whoever leaves
// meanwhile puts the last in its place, which is nearer to the front, so nobody
// is overlooked. Whoever comes meanwhile reads before it waits.
func (r *room) wakeAll(p *pace) {
	published := p.published.Load()
	end := math.MaxInt
	for step := 1; ; step++ {
		if end = r.wakeSome(end); end == 0 {
			return
		}
		p.pause(step, published)
	}
}

// wakeSome wakes readers before end, and returns where it has stopped.
func (r *room) wakeSome(end int) int {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	handlers := 0
	i := min(end, len(r.readers))
	for i > 0 && handlers < wakeEvery {
		i--
		sub := r.readers[i].sub
		sub.signal()
		if sub.parked.Load() == nil {
			handlers++
		}
	}
	return i
}

func (r *room) wakeWatchers() {
	r.seatMu.RLock()
	defer r.seatMu.RUnlock()
	for _, s := range r.watchers {
		s.sub.signal()
	}
}
