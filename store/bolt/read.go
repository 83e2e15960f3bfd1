package bolt

import (
	"context"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/merge"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// maxPageBytes ends a page of [Store.After] once its frames have this many bytes in
// total, to limit the memory of readers of large messages.
const maxPageBytes = 2 << 20

// After implements [store.Store].
func (s *Store) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	kept := s.retention()
	return viewUntil(ctx, s, func(tx *bbolt.Tx) (page store.Page, err error) {
		views, lost, err := views(tx, kept, span.Rooms, span.Changes)
		if err != nil {
			return page, err
		}
		page.Lost = lost
		sources := make([]source, 0, 2*len(views))
		for _, v := range views {
			v.after(span.After)
			sources = append(sources, v)
			if !span.Changes {
				continue
			}
			notices, err := revisionsOf(tx, v, span, kept.cutoff, limit)
			if err != nil {
				return page, err
			}
			sources = append(sources, notices)
			page.Ahead = store.Newest(page.Ahead, notices.ahead)
		}
		size, noticeSize := 0, 0
		for i := range merge.Oldest(sources, func(s source) (store.ID, bool) {
			id, ok := s.head()
			return id, ok && !id.After(span.UpTo)
		}) {
			page.More = len(page.Messages) >= limit || size >= maxPageBytes || noticeSize >= revisions.MaxPageBytes
			if page.More {
				break
			}
			m, err := sources[i].message()
			if err != nil {
				return page, err
			}
			page.Messages = append(page.Messages, m)
			size += len(m.Frame())
			if m.IsNotice() {
				noticeSize += m.Size()
			}
			sources[i].next()
		}
		return page, nil
	})
}

// source is entries of the log in a transaction: the messages of a room, or its notices.
type source interface {
	// head returns the id of the oldest entry, if there is one.
	head() (store.ID, bool)
	// message encodes the oldest entry; there must be one.
	message() (*store.Message, error)
	// next moves on to the next entry.
	next()
}

// Before implements [store.Store].
func (s *Store) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	kept := s.retention()
	return viewUntil(ctx, s, func(tx *bbolt.Tx) (page store.Page, err error) {
		views, lost, err := views(tx, kept, []string{room}, false)
		if err != nil {
			return page, err
		}
		page.Lost = lost
		if before.IsZero() {
			return page, nil
		}
		for _, v := range views {
			for v.upTo(before.Prev()); v.ok && len(page.Messages) < limit; v.prev() {
				m, err := v.message()
				if err != nil {
					return page, err
				}
				page.Messages = append(page.Messages, m)
			}
			page.More = v.ok
		}
		slices.Reverse(page.Messages)
		return page, nil
	})
}

// Tail implements [store.Store].
func (s *Store) Tail(ctx context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	kept := s.retention()
	return viewUntil(ctx, s, func(tx *bbolt.Tx) (tail store.Tail, err error) {
		views, lost, err := views(tx, kept, rooms, true)
		if err != nil {
			return tail, err
		}
		tail = store.Tail{Start: upTo, Lost: lost}
		count := uint64(0)
		for _, v := range views {
			v.after(store.ID{})
			oldest := v.id
			if v.upTo(upTo); v.ok {
				tail.Include(oldest, v.id)
			}
			count += v.count
		}
		switch {
		case n == 0 || tail.Oldest.IsZero():
		case uint64(n) >= count:
			tail.Start = tail.Oldest.Prev()
		default:
			for i := range merge.Newest(views, func(v *roomView) (store.ID, bool) { return v.id, v.ok }) {
				if n == 0 {
					break
				}
				n--
				tail.Start = views[i].id.Prev()
				views[i].prev()
				if ctx.Err() != nil {
					return tail, ctx.Err()
				}
			}
		}
		return tail, nil
	})
}
