package hub

import (
	"context"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// deepRead is a page of what the rings no longer hold. It does not change, so that
// a read that fails changes nothing.
type storePage struct {
	messages []*store.Message
	more     bool     // there may be another page
	upTo     store.ID // where the page ends if there is none
	// told is what the reader's rooms have lost, as far as it was told with the
	// page or does not care.
	reportedLost []store.ID
	// missed tells that messages are missing before the page.
	gap bool
	// deletions is how many its rooms had seen when the page was read.
	deletions int64
}

// unreadPage stands for a page that has to be read first.
var unfetchedPage = &storePage{more: true, deletions: -1}

// readPage reads the page after a cursor from the store, for a reader who was told
// of what its rooms have lost.
func (s *Subscriber) readPage(ctx context.Context, cursor store.ID, reported []store.ID) (*storePage, error) {
	upTo, deletions := *s.hub.latest.Load(), s.deletions()
	page, err := s.hub.pages.page(ctx, store.Span{Rooms: s.RoomNames(), After: cursor, UpTo: upTo})
	if err != nil {
		return nil, err
	}
	d := &storePage{messages: page.Messages, more: page.More, upTo: upTo, reportedLost: reported, deletions: deletions}
	// what it has read is not told, because it may be taken back
	if d.gap = hasUnreportedLoss(cursor, reported, page.Lost); d.gap {
		d.reportedLost = page.Lost
	}
	return d, nil
}

// goDeep has the reader go on with a page.
func (s *Subscriber) usePage(d *storePage) {
	s.page, s.unread, s.reportedLost = d, d.messages, d.reportedLost
}

// fromStore appends what the store has and the rings lack. It ends the deep
// read when there is no more.
func (s *Subscriber) fromStore(ctx context.Context, out *Batch) error {
	again := s.page.deletions != s.deletions() // the page may hold a message that is deleted now
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

// deletions returns how many deletions the reader's rooms have seen.
func (s *Subscriber) deletions() (n int64) {
	for i := range s.seats {
		n += s.seats[i].room.deletions.total.Load()
	}
	return n
}
