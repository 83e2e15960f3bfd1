package memory

import (
	"container/list"
	"math"
	"slices"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// room is the messages of one room.
type room struct {
	name string
	log  store.Log
	lost store.ID      // the newest message that retention has removed
	idle *list.Element // in Store.idle
	// hollow tells that it held nothing when all rooms were looked at last,
	// and nothing has come since.
	hollow bool
	// Its place in Store.byAge, or -1, and by what it is there.
	place  int
	oldest store.ID
}

// size returns how many bytes the room takes up.
func (r *room) size() int { return roomSize + len(r.name) + nameSize + r.log.Size() }

func (r *room) push(m *store.Message, count int) {
	r.log.Push(m)
	r.hollow = false
	r.trim(count)
}

func (r *room) trim(count int) {
	for r.log.Len() > count {
		r.shift()
	}
}

// shift removes the oldest message.
func (r *room) shift() { r.lost = r.log.Shift().ID }

// expire removes what is no newer than cutoff.
func (r *room) expire(cutoff store.ID) {
	for n := r.log.After(cutoff); n > 0; n-- {
		r.shift()
	}
}

// view is the messages from <= i < to of a room's log.
type view struct {
	log      *store.Log
	from, to int
}

func (v *view) len() int { return max(0, v.to-v.from) }

// views returns what can be seen of rooms between two ids, and for each room
// the newest message that is lost.
func (s *Store) views(rooms []string, after, upTo store.ID) ([]view, []store.ID) {
	cutoff := s.cutoff()
	views, lost := make([]view, len(rooms)), make([]store.ID, len(rooms))
	for i, name := range rooms {
		r := s.rooms[name]
		if r == nil {
			views[i].log, lost[i] = &s.none, s.lost
			continue
		}
		lost[i] = r.lost
		if expired := r.log.After(cutoff); expired > 0 {
			lost[i] = r.log.At(expired - 1).ID
		}
		views[i] = view{&r.log, r.log.After(store.Newest(after, cutoff)), r.log.After(upTo)}
	}
	return views, lost
}

// popOldest takes the oldest message of all views, or nil. Streams have few
// rooms with something to say, so it just looks at each.
func popOldest(views []view) *store.Message {
	best := -1
	for i, v := range views {
		if v.len() > 0 && (best < 0 || views[best].log.At(views[best].from).ID.After(v.log.At(v.from).ID)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	views[best].from++
	return views[best].log.At(views[best].from - 1)
}

// nthNewest returns the id of the n-th newest message of all views, or of the
// oldest if there are fewer. It reports false if n is 0 or there are none.
//
// It looks for the millisecond first, so that many messages in many rooms cost
// little more than few.
func nthNewest(views []view, n int) (store.ID, bool) {
	total := newerThan(views, store.ID{})
	if n = min(n, total); n == 0 {
		return store.ID{}, false
	}
	// the first millisecond of which fewer than n messages are newer
	var ms int64
	for step := int64(1 << 62); step > 0; step /= 2 {
		if newerThan(views, store.ID{Ms: ms + step - 1, N: math.MaxUint64}) >= n {
			ms += step
		}
	}
	var same []store.ID
	for _, v := range views {
		for i := max(v.from, v.log.After(store.ID{Ms: ms}.Prev())); i < v.to && v.log.At(i).ID.Ms == ms; i++ {
			same = append(same, v.log.At(i).ID)
		}
	}
	slices.SortFunc(same, store.ID.Compare)
	return same[len(same)-(n-newerThan(views, store.ID{Ms: ms, N: math.MaxUint64}))], true
}

// newerThan counts the messages of all views that are newer than an id.
func newerThan(views []view, id store.ID) (count int) {
	for _, v := range views {
		count += max(0, v.to-max(v.from, v.log.After(id)))
	}
	return count
}
