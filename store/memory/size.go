package memory

import (
	"container/heap"
	"maps"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Memory used besides messages, in bytes. A test compares the sums with the heap.
const (
	roomSize  = 224 // a room, and its places in idle and byAge
	slotSize  = 64  // an entry of Store.rooms
	nonceSize = 560 // an entry of nonces.first or nonces.made and of nonces.queue, and the free space in both
	nameSize  = 16  // what the allocator may add to a name
)

const (
	// nonceShare is the part of the size that nonces may use: a quarter. Their
	// messages count as theirs even while a room keeps them too.
	nonceShare = 4
	// slackShare and maxSlack are how much is removed at once, so that a full
	// store does not search for idle rooms at each message: this part of the
	// size, or this many bytes if that is less.
	slackShare = 64
	maxSlack   = 256 << 10
)

// MinSize is the smallest useful [store.Limits.Size], in bytes.
const MinSize = 1 << 20

// unknownMemory is assumed for a machine that does not report its memory.
const unknownMemory = 1 << 30

// DefaultSize returns a quarter of the memory, in bytes, that GOMEMLIMIT, the
// cgroup and the machine allow this process. The garbage collector lets the heap
// grow to twice the memory in use.
func DefaultSize() int { return defaultSize(memlimit.FromCgroup, memlimit.FromSystem) }

func defaultSize(limits ...memlimit.Provider) int {
	memory, known := uint64(debug.SetMemoryLimit(-1)), false
	if memory != math.MaxInt64 {
		known = true
	}
	for _, limit := range limits {
		if n, err := limit(); err == nil {
			memory, known = min(memory, n), true
		}
	}
	if !known {
		memory = unknownMemory
	}
	return max(MinSize, int(min(memory/4, math.MaxInt)))
}

// used returns how many bytes of memory the store uses.
func (s *Store) used() int { return s.size + s.peak*slotSize + s.nonces.bytes }

// bound keeps the store within its size. It removes nonces beyond their share,
// then the rooms without readers that have been idle longest, except current, and
// then the oldest messages of all rooms. current may be nil.
func (s *Store) bound(current *room) {
	for s.nonces.bytes > s.limits.Size/nonceShare {
		s.nonces.shift()
	}
	if s.used() <= s.limits.Size {
		return
	}
	target := s.limits.Size - min(s.limits.Size/slackShare, maxSlack)
	for s.used() > target {
		r, found := s.idlest(current)
		if !found {
			break
		}
		s.drop(r)
		s.dropped(r)
	}
	for s.used() > target {
		r := s.byAge.oldest()
		if r == nil {
			return
		}
		s.change(r, (*room).shift)
		s.dropped(r)
		if r.log.Len() == 0 && r != current {
			s.drop(r)
		}
	}
}

// dropped tells the hub that the store has removed the room's messages up to
// r.lost.
func (s *Store) dropped(r *room) {
	if mirror, ok := s.hub.(store.Mirror); ok {
		mirror.Dropped(r.name, r.lost)
	}
}

// change calls change, and adds the difference in memory to the store's size. A room that
// becomes empty, or is so no longer, gets a place among its like.
func (s *Store) change(r *room, change func(*room)) {
	before := r.content()
	change(r)
	s.size += r.content() - before
	if empty := r.log.Len() == 0; empty != r.empty {
		s.order(r).Remove(r.idle)
		r.empty = empty
		r.idle = s.order(r).Add(r)
	}
}

// shrink frees the memory of dropped rooms, because a map never shrinks.
func (s *Store) shrink() {
	if s.peak < 1024 || len(s.rooms) > s.peak/4 {
		return
	}
	rooms := make(map[string]*room, len(s.rooms))
	maps.Copy(rooms, s.rooms)
	s.rooms, s.peak = rooms, len(rooms)
}

// byAge is a heap of rooms by their oldest message. As rooms lose their oldest
// messages all the time, a room's place is corrected only when it comes to the
// top. Until then room.oldest is older than the messages that it holds.
type byAge []*room

// add adds a room that has a message and is not in the heap.
func (h *byAge) add(r *room) {
	r.oldest = r.log.At(0).ID
	heap.Push(h, r)
}

func (h *byAge) remove(r *room) {
	if r.place >= 0 {
		heap.Remove(h, r.place)
	}
}

// oldest returns the room that holds the oldest message, or nil if there is
// none.
func (h *byAge) oldest() *room {
	for len(*h) > 0 {
		r := (*h)[0]
		switch {
		case r.log.Len() == 0:
			heap.Pop(h)
		case r.log.At(0).ID != r.oldest:
			r.oldest = r.log.At(0).ID
			heap.Fix(h, 0)
		default:
			return r
		}
	}
	return nil
}

// Len implements [heap.Interface].
func (h byAge) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h byAge) Less(i, j int) bool { return h[j].oldest.After(h[i].oldest) }

// Swap implements [heap.Interface].
func (h byAge) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements [heap.Interface].
func (h *byAge) Push(r any) {
	room := r.(*room)
	room.place = len(*h)
	*h = append(*h, room)
}

// Pop implements [heap.Interface].
func (h *byAge) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	r.place = -1
	return r
}
