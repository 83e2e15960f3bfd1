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
	t := s.only.tip.Load()
	isTip := t != nil && !t.after.After(s.cursor)
	switch {
	// only after the tip was loaded: all notices older than that are in the ring
	case s.Events && (!isTip || s.only.notices.ChangedAfter(s.cursor)):
		s.mergeRings(out)
	case isTip:
		s.fromTip(out, t)
	default:
		s.fromRing(out, s.only)
	}
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

// mergeRings is fromRings for several rooms, or for messages and notices. It reads no
// further than latest, up to which all rings are complete, so that they come in one order.
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
		if news, reached = s.seats[i].room.appendNews(news, s, upTo); !reached {
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

// appendNews appends what the rings have after the subscriber's cursor, up to an id, until
// that is as large as a batch. It reports false if the rings do not reach back to the
// cursor.
func (r *room) appendNews(dst []*store.Message, s *Subscriber, upTo store.ID) ([]*store.Message, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.floor.After(s.cursor) {
		return dst, false
	}
	limit, size := s.hub.sizes.batch, 0
	for i, end := r.ring.After(s.cursor), r.ring.After(upTo); i < end && size < limit; i++ {
		m := r.ring.At(i)
		dst = append(dst, m)
		size += len(m.Frame())
	}
	if !s.Events {
		return dst, true
	}
	return r.notices.After(dst, s.cursor, upTo, s.whole, limit)
}
