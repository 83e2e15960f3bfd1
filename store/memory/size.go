package memory

import (
	"container/heap"
	"maps"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// What things take up in memory beside messages, in bytes. A test compares the
// sums with the heap.
const (
	roomSize  = 224 // a room, and its places in idle and byAge
	slotSize  = 64  // an entry of Store.rooms
	nonceSize = 320 // an entry of nonces.first and of nonces.queue, with what is free in both
	nameSize  = 16  // what the allocator may add to a name
)

const (
	// nonceShare is the part of the size that nonces may use: one in so many
	// bytes. A message counts as theirs even while its room keeps it too.
	nonceShare = 4
	// What is removed at a time is at least this part of the size, or so many
	// bytes, so that a full store does not look for idle rooms at each message.
	slackShare = 64
	maxSlack   = 256 << 10
)

// MinSize is the least size in bytes that is of use.
const MinSize = 1 << 20

// unknownMemory stands for the machine's memory where it cannot be found out.
const unknownMemory = 1 << 30

// DefaultSize returns a quarter of the memory in bytes that this process may
// use: what GOMEMLIMIT, a cgroup and the machine allow. The garbage collector
// lets a heap grow to twice of what is in use.
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

// used returns how many bytes the store takes up.
func (s *Store) used() int { return s.size + s.peak*slotSize + s.nonces.bytes }

// bound removes what exceeds the size: nonces beyond their share, then the
// rooms without readers that were idle longest, but for the current one, then
// the oldest messages of all rooms. current may be nil.
func (s *Store) bound(current *room) {
	for s.nonces.bytes > s.limits.Size/nonceShare {
		s.nonces.shift()
	}
	if s.used() <= s.limits.Size {
		return
	}
	target := s.limits.Size - min(s.limits.Size/slackShare, maxSlack)
	for s.used() > target {
		r := s.idlest(current)
		if r == nil {
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

// dropped has the hub give up what the store has.
func (s *Store) dropped(r *room) {
	if mirror, ok := s.hub.(store.Mirror); ok {
		mirror.Dropped(r.name, r.lost)
	}
}

// change changes the messages of a room.
func (s *Store) change(r *room, change func(*room)) {
	before := r.log.Size()
	change(r)
	s.size += r.log.Size() - before
}

// shrink gives back the memory of rooms that are gone: a map never shrinks.
func (s *Store) shrink() {
	if s.peak < 1024 || len(s.rooms) > s.peak/4 {
		return
	}
	rooms := make(map[string]*room, len(s.rooms))
	maps.Copy(rooms, s.rooms)
	s.rooms, s.peak = rooms, len(rooms)
}

// byAge is a heap of rooms by their oldest message. Messages leave a room at
// its old end all the time, so a room's place is put right only when it comes
// to the top: no message of it is older than room.oldest.
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
