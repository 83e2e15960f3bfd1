package hub

import (
	"context"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// storePage is a page of messages that the rings no longer hold. It is immutable,
// so that a failed read leaves the subscriber unchanged.
type storePage struct {
	messages []*store.Message
	more     bool     // whether there may be another page
	upTo     store.ID // end of the read if there is no other page
	// reportedLost is Subscriber.reportedLost once the reader has this page.
	reportedLost []store.ID
	// gap is set if messages before the page were lost.
	gap bool
	// whole is up to where notices have to be whole after the page.
	whole store.ID
	// withdrawn is the rooms' count of withdrawn messages when the page was read.
	withdrawn int64
}

// unfetchedPage stands for a page that has yet to be read from the store.
var unfetchedPage = &storePage{more: true, withdrawn: -1}

// readPage reads the page after a cursor from the store. reported is what the
// reader already knows to be lost.
func (s *Subscriber) readPage(ctx context.Context, cursor store.ID, reported []store.ID) (*storePage, error) {
	upTo, withdrawn := *s.hub.latest.Load(), s.withdrawn()
	page, err := s.hub.pages.Page(ctx, store.Span{Rooms: s.RoomNames(), After: cursor, UpTo: upTo, Changes: s.Events})
	if err != nil {
		return nil, err
	}
	d := &storePage{
		messages: page.Messages, more: page.More, upTo: upTo, reportedLost: reported, withdrawn: withdrawn,
		whole: store.Newest(upTo, page.Ahead),
	}
	// losses up to the cursor are not reported, because TakeBack may move the
	// cursor back behind them
	if d.gap = hasUnreportedLoss(cursor, reported, page.Lost); d.gap {
		d.reportedLost = page.Lost
	}
	return d, nil
}

// usePage makes the subscriber continue with a page.
func (s *Subscriber) usePage(d *storePage) {
	s.page, s.unread, s.reportedLost = d, d.messages, d.reportedLost
	s.whole = store.Newest(s.whole, d.whole)
}

// fromStore appends messages from the store while the rings lack them. It clears
// page when there are no more.
func (s *Subscriber) fromStore(ctx context.Context, out *Batch) error {
	again := s.isStale()
	for {
		for !again && len(s.unread) > 0 {
			if s.IsFull(out) {
				return nil
			}
			s.take(out, s.unread[0])
			s.unread = s.unread[1:]
		}
		if !again && !s.page.more {
			s.cursor = store.Newest(s.cursor, s.page.upTo)
			s.page, s.unread = nil, nil
			return nil
		}
		d, err := s.readPage(ctx, s.cursor, s.reportedLost)
		if err != nil {
			return err
		}
		if s.usePage(d); d.gap {
			s.appendGap(out, gapSlow)
		}
		again = false
	}
}

// isStale reports whether the rest of the page may have what was deleted or replaced since
// the page was read.
func (s *Subscriber) isStale() bool {
	now := s.withdrawn()
	if s.page.withdrawn == now {
		return false
	}
	for i := range s.seats {
		if s.seats[i].room.withdrawnFrom(s.unread, s.page.upTo) {
			return true
		}
	}
	if s.page != unfetchedPage {
		checked := *s.page
		checked.withdrawn = now
		s.page = &checked
		return false
	}
	return true
}

// withdrawn returns the count of withdrawn messages in the subscriber's rooms.
func (s *Subscriber) withdrawn() (n int64) {
	for i := range s.seats {
		n += s.seats[i].room.notices.Withdrawn()
	}
	return n
}
