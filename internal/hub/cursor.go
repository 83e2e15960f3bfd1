package hub

import (
	"context"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// gapReason is why a reader was told of a gap.
type gapReason string

const (
	gapNone     gapReason = ""
	gapExpired  gapReason = "expired"  // retention removed some of what follows the id
	gapUnknown  gapReason = "unknown"  // the id is not of this log
	gapSlow     gapReason = "slow"     // the reader was slower than retention
	gapRollback gapReason = "rollback" // the id is newer than this log, which is durable
)

var gapReasons = []gapReason{gapExpired, gapUnknown, gapSlow, gapRollback}

// startPoint is where a reader wants to begin.
type startPoint struct {
	lastEventID string // the client's Last-Event-ID, or empty
	last        int    // how many of the newest messages to begin with
	heartbeat   time.Duration
	native      bool   // see [Subscription]
	givenName   string // likewise
}

// classify tells whether a log can go on after a client's Last-Event-ID: gapNone
// if what follows the id can be found in the log, otherwise why nothing is known
// of it.
func classify(lastEventID string, log store.State) (store.ID, gapReason) {
	id, err := store.ParseID(lastEventID)
	switch {
	case err != nil, log.Origin.After(id):
		return store.ID{}, gapUnknown
	case !id.After(log.Latest):
		return id, gapNone
	case log.Durable:
		return store.ID{}, gapRollback
	default:
		return store.ID{}, gapUnknown
	}
}

// misses reports whether a reader at cursor has lost messages of which it was
// not told yet. lost is the newest message that each of its rooms has lost,
// told the same when it was last told, or nil.
func hasUnreportedLoss(cursor store.ID, reported, lost []store.ID) bool {
	for i, id := range lost {
		if id.After(cursor) && (reported == nil || id.After(reported[i])) {
			return true
		}
	}
	return false
}

// beginning is where a stream begins.
type beginning struct {
	cursor       store.ID
	page         *storePage // nil if the rings reach back to the cursor
	reportedLost []store.ID
	gap          gapReason
	tail         store.Tail
}

// begin finds out where the reader starts, and says so if it wants to know. After
// an error nothing has changed.
func (s *Subscriber) begin(ctx context.Context, out *Batch) error {
	from, err := s.findBeginning(ctx)
	if err != nil {
		return err
	}
	start := s.start
	s.start = nil
	s.replayEnd, s.newest = s.cursor, from.tail.Newest
	s.cursor, s.reportedLost = from.cursor, from.reportedLost
	if from.page != nil {
		s.usePage(from.page)
	}
	s.appendBeginning(out, start, &from)
	if from.gap != gapNone {
		s.appendGap(out, from.gap)
	}
	return nil
}

// findBeginning returns where the stream begins.
func (s *Subscriber) findBeginning(ctx context.Context) (from beginning, err error) {
	start := s.start
	// where a log begins that could not be reached is known once it answers
	if start.last > 0 || s.Events || s.cursor.IsZero() {
		if from.tail, err = s.hub.store.Tail(ctx, s.RoomNames(), s.cursor, start.last); err != nil {
			return from, err
		}
		s.initCursor()
	}
	from.cursor = s.cursor
	switch {
	case start.lastEventID != "":
		if from.cursor, from.gap, err = s.classify(ctx, start.lastEventID); err != nil {
			return from, err
		}
	case start.last > 0:
		from.cursor, from.reportedLost = from.tail.Start, from.tail.Lost // it asked for no more than is kept
	default:
		return from, nil
	}
	if from.gap == gapNone && !s.behind(from.cursor) {
		return from, nil
	}
	if from.page, err = s.readPage(ctx, from.cursor, from.reportedLost); err != nil {
		return from, err
	}
	if from.gap == gapNone && from.page.gap {
		from.gap = gapExpired
	}
	return from, nil
}

// tellBeginning appends the event with which the stream begins, if it has one.
func (s *Subscriber) appendBeginning(out *Batch, start *startPoint, from *beginning) {
	named := len(out.Bytes)
	resumes := start.lastEventID != ""
	switch {
	case s.Events:
		h := wire.Hello{
			Rooms:   s.RoomNames(),
			Now:     time.Now(),
			Latest:  from.tail.Newest,
			Oldest:  from.tail.Oldest,
			Ping:    start.heartbeat,
			Resumed: resumes && from.gap == gapNone,
			Name:    start.givenName,
		}
		if !resumes { // a client that is cut off before its first message has no other id
			h.From = &from.cursor
		}
		out.Bytes = wire.AppendHello(out.Bytes, &h)
		if !resumes { // one who was away may have missed some
			for i := range s.seats {
				s.seats[i].seen.deletions = s.seats[i].room.deletions.total.Load()
			}
		}
	case start.native && !resumes:
		out.Bytes = wire.AppendStart(out.Bytes, from.cursor)
	}
	s.endNamed(out, named)
}

// classify is [classify] for the hub's store, which may have to ask its servers.
func (s *Subscriber) classify(ctx context.Context, lastEventID string) (store.ID, gapReason, error) {
	witness, ok := s.hub.store.(store.Witness)
	if !ok {
		id, gap := classify(lastEventID, s.hub.store.State())
		return id, gap, nil
	}
	id, err := store.ParseID(lastEventID)
	if err != nil {
		return store.ID{}, gapUnknown, nil //nolint:nilerr // a client's mistake is a gap
	}
	known, err := witness.Witness(ctx, id)
	switch {
	case err != nil:
		return store.ID{}, gapNone, err
	case !known:
		return store.ID{}, gapRollback, nil
	}
	return id, gapNone, nil
}

// behind reports whether a reader who comes back with a cursor may lack
// something that only the store knows.
func (s *Subscriber) behind(cursor store.ID) bool {
	s.hub.mu.RLock()
	limits := s.hub.limits
	s.hub.mu.RUnlock()
	nowMs := time.Now().UnixMilli()
	for i := range s.seats {
		if s.seats[i].room.retained(limits, nowMs).After(cursor) {
			return true
		}
	}
	return false
}

// awake sets the cursor of a reader that came before the log was known: it
// reads what came since.
func (s *Subscriber) initCursor() {
	if !s.cursor.IsZero() || s.page != nil {
		return
	}
	if began := s.hub.logStart.Load(); began != nil {
		s.cursor = *began
	}
}

// tellMissed tells the reader that messages may be missing, if so, and goes on
// with what the store has.
func (s *Subscriber) appendPendingGap(ctx context.Context, out *Batch) error {
	reason := s.pendingGap.Swap(nil)
	if reason == nil || s.start != nil { // where one begins is found out by its id
		return nil
	}
	d, err := s.readPage(ctx, s.cursor, s.reportedLost)
	if err != nil {
		s.pendingGap.CompareAndSwap(nil, reason)
		return err
	}
	s.usePage(d)
	s.appendGap(out, *reason)
	return nil
}

// tellGap appends an event that tells of a gap before the page that is read.
func (s *Subscriber) appendGap(out *Batch, reason gapReason) {
	var oldest store.ID
	if len(s.unread) > 0 {
		oldest = s.unread[0].ID
	}
	named := len(out.Bytes)
	out.Bytes = wire.AppendGap(out.Bytes, string(reason), oldest)
	s.endNamed(out, named)
	s.hub.Counts.Gaps.Add(string(reason))
}

// Began implements [store.Peer].
func (h *Hub) Began(latest store.ID) {
	// first, or one who looks now would read the log from its beginning
	h.logStart.Store(&latest)
	h.restart(latest)
	h.wheel.Each((*Subscriber).signal)
}

// Missed implements [store.Peer].
func (h *Hub) Missed(latest store.ID, rollback bool) {
	h.restart(latest)
	reason := gapSlow
	if rollback {
		reason = gapRollback
	}
	h.wheel.Each(func(s *Subscriber) {
		s.pendingGap.Store(&reason)
		s.signal()
	})
}

// restart empties all rings, because they may not hold what the log now does.
func (h *Hub) restart(latest store.ID) {
	h.pages.forget()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		h.ringBytes.Add(r.forget(latest))
	}
	h.advance(latest)
}
