package hub

import (
	"slices"
	"sync"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// fromRings appends messages after the cursor from the rings. If they do not reach
// back that far, it sets page, so that the store is read instead.
func (s *Subscriber) fromRings(out *Batch) {
	if s.only == nil {
		s.mergeRings(out)
		return
	}
	if t := s.only.tip.Load(); t != nil && !t.after.After(s.cursor) {
		s.fromTip(out, t)
		return
	}
	s.fromRing(out, s.only)
}

// fromTip is fromRing for a subscriber that lacks at most the newest message, as
// nearly all do. It takes no lock, and shares a message that is alone in its batch.
func (s *Subscriber) fromTip(out *Batch, t *tip) {
	switch {
	case !t.message.ID.After(s.cursor):
	case out.mixed:
		s.take(out, t.message)
	default:
		s.share(out, t.message)
	}
}

func (s *Subscriber) fromRing(out *Batch, r *room) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.floor.After(s.cursor) {
		s.page = unfetchedPage
		return
	}
	i := r.ring.After(s.cursor)
	for ; i < r.ring.Len() && !s.IsFull(out); i++ {
		s.take(out, r.ring.At(i))
	}
}

var messageLists = sync.Pool{New: func() any { return new([]*store.Message) }}

// mergeRings is fromRings for several rooms. It reads no further than latest, up to
// which all rings are complete, so that messages come in one order.
func (s *Subscriber) mergeRings(out *Batch) {
	list := messageLists.Get().(*[]*store.Message)
	news := (*list)[:0]
	defer func() {
		clear(news)
		*list = news
		messageLists.Put(list)
	}()
	upTo := *s.hub.latest.Load()
	for i := range s.seats {
		var reached bool
		if news, reached = s.seats[i].room.appendNews(news, s.cursor, upTo, s.hub.sizes.batch); !reached {
			s.page = unfetchedPage
			return
		}
	}
	slices.SortFunc(news, func(a, b *store.Message) int { return a.ID.Compare(b.ID) })
	for _, m := range news {
		// a room that held messages back has filled the batch by itself, so nothing
		// newer than those is taken
		if s.IsFull(out) {
			break
		}
		s.take(out, m)
	}
}

// appendNews appends the ring's messages after one id, up to another, until they
// have limit bytes. It reports false if the ring does not reach back to the first
// id.
func (r *room) appendNews(dst []*store.Message, after, upTo store.ID, limit int) ([]*store.Message, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.floor.After(after) {
		return dst, false
	}
	size := 0
	for i, end := r.ring.After(after), r.ring.After(upTo); i < end && size < limit; i++ {
		m := r.ring.At(i)
		dst = append(dst, m)
		size += len(m.Frame())
	}
	return dst, true
}
