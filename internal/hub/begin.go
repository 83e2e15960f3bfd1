package hub

import (
	"context"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// startPoint is where a client asked to begin.
type startPoint struct {
	lastEventID string // the client's Last-Event-ID, or ""
	last        int    // how many of the newest messages to begin with
	heartbeat   time.Duration
	native      bool // see [Subscription]
	you         You  // see [Subscription]
}

// resumeDoubt is for how long after a resume readers get changed messages whole, because
// the client may lack a change that is older than its id: the page that it had last leaves
// out messages that have changed again meanwhile, and only the cut stream knew of these. A
// store or another node may have had such a change before the rings here.
const resumeDoubt = time.Second

// beginning is where a stream begins, and what its first event says.
type beginning struct {
	cursor       store.ID
	page         *storePage // nil if the rings reach back to the cursor
	reportedLost []store.ID
	gap          gapReason
	tail         store.Tail
}

// begin resolves the starting point and appends the stream's first events. After an
// error the subscriber is unchanged.
func (s *Subscriber) begin(ctx context.Context, out *Batch) error {
	from, err := s.findBeginning(ctx)
	if err != nil {
		return err
	}
	start := s.start
	s.start = nil
	if start.lastEventID != "" {
		doubt := store.ID{Ms: time.Now().Add(resumeDoubt).UnixMilli()}
		s.whole = store.Newest(store.Newest(s.whole, doubt), s.hub.store.State().Latest)
	}
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

// findBeginning resolves the starting point with the store.
func (s *Subscriber) findBeginning(ctx context.Context) (from beginning, err error) {
	start := s.start
	// a log that could not be reached before tells where it begins once it answers
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
		from.cursor, from.reportedLost = from.tail.Start, from.tail.Lost // it asked for no more than is retained
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

// appendBeginning appends the event with which the stream begins, if it has one.
func (s *Subscriber) appendBeginning(out *Batch, start *startPoint, from *beginning) {
	named := len(out.Bytes)
	resumes := start.lastEventID != ""
	switch {
	case s.Events:
		h := wire.Hello{
			Rooms:     s.RoomNames(),
			Now:       time.Now(),
			Latest:    from.tail.Newest,
			Oldest:    from.tail.Oldest,
			Ping:      start.heartbeat,
			Resumed:   resumes && from.gap == gapNone,
			Name:      start.you.Name,
			Moderates: start.you.Moderates,
		}
		if !resumes { // a client that is cut off before its first message has no other id to resume from
			h.From = &from.cursor
		}
		out.Bytes = wire.AppendHello(out.Bytes, &h)
	case start.native && !resumes:
		out.Bytes = wire.AppendStart(out.Bytes, from.cursor)
	}
	s.endNamed(out, named)
}

// classify is [classify] for the hub's store, which may have to ask its servers for
// the id.
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

// behind reports whether a reader at cursor may lack messages that only the store
// has, or changes: those are told once for each message, which the rings cannot.
func (s *Subscriber) behind(cursor store.ID) bool {
	s.hub.mu.RLock()
	limits := s.hub.limits
	s.hub.mu.RUnlock()
	nowMs := time.Now().UnixMilli()
	for i := range s.seats {
		r := s.seats[i].room
		if r.retained(limits, nowMs).After(cursor) || s.Events && r.mayHaveChanged(cursor) {
			return true
		}
	}
	return false
}

// initCursor sets the cursor of a subscriber that came before the start of the log
// was known, so that it reads everything published since.
func (s *Subscriber) initCursor() {
	if !s.cursor.IsZero() || s.page != nil {
		return
	}
	if began := s.hub.logStart.Load(); began != nil {
		s.cursor = *began
	}
}

// appendPendingGap reports a pending gap, if there is one, and continues with the
// page after the cursor.
func (s *Subscriber) appendPendingGap(ctx context.Context, out *Batch) error {
	reason := s.pendingGap.Swap(nil)
	if reason == nil || s.start != nil { // begin finds the gap by the client's id
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

// Began implements [store.Peer].
func (h *Hub) Began(latest store.ID) {
	// before the wake-up, or a subscriber would read the log from its beginning
	h.logStart.Store(&latest)
	h.restart(latest, false)
	h.wheel.Each((*Subscriber).signal)
}

// Missed implements [store.Peer].
func (h *Hub) Missed(latest store.ID, rollback bool) {
	h.restart(latest, rollback)
	reason := gapSlow
	if rollback {
		reason = gapRollback
	}
	h.wheel.Each(func(s *Subscriber) {
		s.pendingGap.Store(&reason)
		s.signal()
	})
}

// Skipped implements [store.Peer].
func (h *Hub) Skipped(latest store.ID) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, f := range h.followers {
		f.Missed(latest, false)
	}
}

// restart empties all rings, whose messages may no longer match the log. rollback is as in
// Missed.
func (h *Hub) restart(latest store.ID, rollback bool) {
	h.pages.Forget()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		h.ringBytes.Add(r.restart(latest))
	}
	h.advance(latest)
	for _, f := range h.followers {
		f.Missed(latest, rollback)
	}
}
