package ssechat

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// deepRead is a read of what the rings no longer hold.
type deepRead struct {
	page []*store.Message // of which the reader has had nothing yet
	more bool             // there may be another page
	upTo store.ID         // where the page ends if there is none
	// deletions is how many its rooms had seen when the page was read.
	deletions int64
}

// begin finds out where the reader starts, and says so if it wants to know.
func (s *subscriber) begin(ctx context.Context, out *batch) error {
	b, start := s.broker, s.start
	var gap gapReason
	var tail store.Tail
	var err error
	if start.last > 0 || s.events {
		if tail, err = b.store.Tail(ctx, s.roomNames(), s.cursor, start.last); err != nil {
			return err
		}
	}
	cursor, deep := s.cursor, (*deepRead)(nil)
	switch {
	case start.lastEventID != "":
		if cursor, gap, err = s.judge(ctx, start.lastEventID); err != nil {
			return err
		}
		if gap != gapNone || s.behind(cursor) {
			deep = &deepRead{more: true}
		}
	case start.last > 0:
		cursor = tail.Start
		if s.behind(cursor) {
			deep = &deepRead{more: true}
		}
		s.told = tail.Lost // it asked for no more than is kept
	}
	latest := s.cursor
	s.replayEnd = latest
	s.cursor, s.deep = cursor, deep
	if deep != nil {
		missed, err := s.readPage(ctx)
		if err != nil {
			s.cursor, s.deep = latest, nil
			return err
		}
		if gap == gapNone && missed {
			gap = gapExpired
		}
	}
	s.start = nil
	s.newest = tail.Newest
	if s.events {
		resumed := start.lastEventID != "" && gap == gapNone
		out.bytes = appendHello(out.bytes, s.seats, time.Now().UnixMilli(), tail.Newest, tail.Oldest, start.heartbeat.Milliseconds(), resumed, start.you)
		if start.lastEventID == "" { // one who was away may have missed some
			for i := range s.seats {
				s.seats[i].told.deletions = s.seats[i].room.deletions.total.Load()
			}
		}
	}
	if gap != gapNone {
		s.tellGap(out, gap)
	}
	return nil
}

// behind reports whether a reader who comes back with a cursor may lack
// something that only the store knows.
func (s *subscriber) behind(cursor store.ID) bool {
	s.broker.mu.RLock()
	limits := s.broker.limits
	s.broker.mu.RUnlock()
	nowMs := time.Now().UnixMilli()
	for i := range s.seats {
		if s.seats[i].room.retained(limits, nowMs).After(cursor) {
			return true
		}
	}
	return false
}

func (s *subscriber) roomNames() []string {
	names := make([]string, len(s.seats))
	for i := range s.seats {
		names[i] = s.seats[i].room.name
	}
	return names
}

// readPage reads the next page from the store. It reports whether messages
// are missing before it.
func (s *subscriber) readPage(ctx context.Context) (missed bool, err error) {
	upTo, deletions := *s.broker.latest.Load(), s.deletions()
	page, err := s.broker.store.After(ctx, store.Span{Rooms: s.roomNames(), After: s.cursor, UpTo: upTo}, s.broker.sizes.page)
	if err != nil {
		return false, err
	}
	// what it has read is not told, because it may be taken back
	if missed = misses(s.cursor, s.told, page.Lost); missed {
		s.told = page.Lost
	}
	*s.deep = deepRead{page: page.Messages, more: page.More, upTo: upTo, deletions: deletions}
	return missed, nil
}

func (s *subscriber) tellGap(out *batch, reason gapReason) {
	var oldest store.ID
	if len(s.deep.page) > 0 {
		oldest = s.deep.page[0].ID
	}
	out.bytes = appendGap(out.bytes, reason, oldest)
	s.broker.counts.gaps.add(string(reason))
}

// fromStore appends what the store has and the rings lack. It ends the deep
// read when there is no more.
func (s *subscriber) fromStore(ctx context.Context, out *batch) error {
	if s.deep.deletions != s.deletions() {
		// what is left of the page may hold a message that is deleted now
		s.deep.page, s.deep.more = nil, true
	}
	for {
		for len(s.deep.page) > 0 {
			if len(out.bytes) >= s.broker.sizes.batch {
				return nil
			}
			s.take(out, s.deep.page[0])
			s.deep.page = s.deep.page[1:]
		}
		if !s.deep.more {
			s.cursor = store.Newest(s.cursor, s.deep.upTo)
			s.deep = nil
			return nil
		}
		missed, err := s.readPage(ctx)
		if err != nil {
			return err
		}
		if missed {
			s.tellGap(out, gapSlow)
		}
	}
}

// deletions returns how many deletions the reader's rooms have seen.
func (s *subscriber) deletions() (n int64) {
	for i := range s.seats {
		n += s.seats[i].room.deletions.total.Load()
	}
	return n
}

// take appends a message and moves the cursor there.
func (s *subscriber) take(out *batch, m *store.Message) {
	out.bytes = append(out.bytes, m.Frame()...)
	s.pass(out, m)
}

// pass moves the cursor to a message that is in a batch.
func (s *subscriber) pass(out *batch, m *store.Message) {
	out.messages++
	if !m.ID.After(s.replayEnd) {
		out.replayed++
	}
	s.cursor, s.newest = m.ID, m.ID
}

// fromRings returns what the rings have after the cursor. If they do not
// reach that far back it starts a deep read instead.
func (s *subscriber) fromRings(buf []byte) batch {
	if s.only == nil {
		return s.mergeRings(buf)
	}
	if t := s.only.tip.Load(); t != nil && !t.after.After(s.cursor) {
		return s.fromTip(t)
	}
	return s.fromRing(s.only, buf)
}

// fromTip is fromRing for one who lacks the newest message at most, as nearly
// all do. It takes no lock, and the message is sent from where it lies.
func (s *subscriber) fromTip(t *tip) batch {
	if !t.message.ID.After(s.cursor) {
		return batch{}
	}
	out := batch{bytes: t.message.Frame(), shared: true}
	s.pass(&out, t.message)
	return out
}

func (s *subscriber) fromRing(r *room, buf []byte) batch {
	out := batch{bytes: buf[:0]}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.floor.After(s.cursor) {
		s.deep = &deepRead{more: true}
		return out
	}
	i := r.ring.After(s.cursor)
	for ; i < r.ring.Len() && len(out.bytes) < s.broker.sizes.batch; i++ {
		s.take(&out, r.ring.At(i))
	}
	return out
}

var messageLists = sync.Pool{New: func() any { return new([]*store.Message) }}

// mergeRings is fromRings for several rooms. It reads no further than all of
// them are known, so that their messages come in one order.
func (s *subscriber) mergeRings(buf []byte) batch {
	out := batch{bytes: buf[:0]}
	list := messageLists.Get().(*[]*store.Message)
	news := (*list)[:0]
	defer func() {
		clear(news)
		*list = news
		messageLists.Put(list)
	}()
	upTo := *s.broker.latest.Load()
	for i := range s.seats {
		var reached bool
		if news, reached = s.seats[i].room.appendNews(news, s.cursor, upTo, s.broker.sizes.batch); !reached {
			s.deep = &deepRead{more: true}
			return out
		}
	}
	slices.SortFunc(news, func(a, b *store.Message) int { return a.ID.Compare(b.ID) })
	for _, m := range news {
		// a room that gave less than it has fills the batch by itself, so
		// nothing newer than what it held back is taken
		if len(out.bytes) >= s.broker.sizes.batch {
			break
		}
		s.take(&out, m)
	}
	return out
}

// appendNews appends the messages between two ids, or as many as make limit
// bytes. It reports false if the ring does not reach back to the first.
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

// appendEvents appends the named events that are due.
func (s *subscriber) appendEvents(out *batch) {
	if !s.caughtUp {
		if s.deep != nil || len(out.bytes) >= s.broker.sizes.batch {
			return
		}
		s.caughtUp = true
		out.bytes = appendLive(out.bytes, s.newest)
	}
	now := s.broker.wheel.elapsed()
	for i := range s.seats {
		seat := &s.seats[i]
		if n := seat.room.deletions.total.Load(); n > seat.told.deletions {
			ids, total := seat.room.deletions.since(seat.told.deletions)
			for _, id := range ids {
				out.bytes = appendDelete(out.bytes, id)
			}
			seat.told.deletions = total
		}
		if seat.room.presence.version.Load() != seat.told.presence.Load() && seat.told.presenceDue(now) {
			out.bytes = append(out.bytes, seat.tellPresence(now)...)
		}
	}
}
