package bolt

import (
	"context"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// maxPageBytes is from how many bytes a page of [Store.After] takes no further
// message, so that readers of large ones hold no more memory than others.
const maxPageBytes = 2 << 20

// After implements [store.Store].
func (s *Store) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	kept := s.retention()
	return look(ctx, s, func(tx *bbolt.Tx) (page store.Page, err error) {
		views, lost, err := views(tx, kept, span.Rooms)
		if err != nil {
			return page, err
		}
		page.Lost = lost
		for _, v := range views {
			v.after(span.After)
		}
		for size := 0; ; {
			v := oldest(views, span.UpTo)
			if v == nil {
				return page, nil
			}
			if len(page.Messages) >= limit || size >= maxPageBytes {
				page.More = true
				return page, nil
			}
			m, err := v.message()
			if err != nil {
				return page, err
			}
			page.Messages = append(page.Messages, m)
			size += len(m.Frame())
			v.next()
		}
	})
}

// Before implements [store.Store].
func (s *Store) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	kept := s.retention()
	return look(ctx, s, func(tx *bbolt.Tx) (page store.Page, err error) {
		views, lost, err := views(tx, kept, []string{room})
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
	return look(ctx, s, func(tx *bbolt.Tx) (tail store.Tail, err error) {
		views, lost, err := views(tx, kept, rooms)
		if err != nil {
			return tail, err
		}
		tail = store.Tail{Start: upTo, Lost: lost}
		count := uint64(0)
		for _, v := range views {
			v.after(store.ID{})
			if v.ok && !v.id.After(upTo) && (tail.Oldest.IsZero() || tail.Oldest.After(v.id)) {
				tail.Oldest = v.id
			}
			if v.upTo(upTo); v.ok {
				tail.Newest = store.Newest(tail.Newest, v.id)
			}
			count += v.count
		}
		switch {
		case n == 0 || tail.Oldest.IsZero():
		case uint64(n) >= count:
			tail.Start = tail.Oldest.Prev()
		default:
			for v := newest(views); v != nil && n > 0; v = newest(views) {
				tail.Start = v.id.Prev()
				v.prev()
				n--
				if ctx.Err() != nil {
					return tail, ctx.Err()
				}
			}
		}
		return tail, nil
	})
}

// roomView is what is seen of one room in a transaction, with a cursor.
type roomView struct {
	name   string
	number uint64
	cursor *bbolt.Cursor
	// floor is the newest message that is not seen, or the zero ID.
	floor store.ID
	// count is how many messages are seen, at most; just as many if whole.
	count uint64
	whole bool

	// the message that the cursor is at; ok is unset where there is none
	id         store.ID
	key, value []byte
	ok         bool
}

// views returns what is seen of rooms that exist, and for each that is asked
// for the newest message that is lost.
//
// What is kept must have been looked up before the transaction began: a cut is
// forgotten once all rooms are cut, which the transaction may not see yet.
func views(tx *bbolt.Tx, kept retention, names []string) ([]*roomView, []store.ID, error) {
	log, err := getLog(tx)
	if err != nil {
		return nil, nil, err
	}
	rooms, messages := tx.Bucket(roomsBucket), tx.Bucket(messagesBucket)
	views, lost := make([]*roomView, 0, len(names)), make([]store.ID, len(names))
	for i, name := range names {
		number, ok, err := numberOf(rooms, name)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			lost[i] = log.lost
			continue
		}
		key := stateKey(number)
		record, err := getRoom(messages, key)
		if err != nil {
			return nil, nil, err
		}
		v := &roomView{name: name, number: number, cursor: messages.Cursor(), floor: record.lost, count: record.count}
		v.cut(kept.cuts)
		v.expire(kept.cutoff)
		v.whole = v.floor == record.lost
		views, lost[i] = append(views, v), v.floor
	}
	return views, lost, nil
}

func getRoom(messages *bbolt.Bucket, key []byte) (roomRecord, error) {
	payload, err := unseal(key, messages.Get(key))
	if err != nil {
		return roomRecord{}, err
	}
	return decodeRoom(payload)
}

// cut raises the floor to what cuts have left.
func (v *roomView) cut(cuts []cut) {
	for _, c := range cuts {
		if v.count <= uint64(c.count) {
			continue
		}
		v.upTo(c.upTo)
		for n := c.count; n > 0 && v.ok; n-- {
			v.prev()
		}
		if v.ok {
			v.floor = v.id
		}
	}
}

// expire raises the floor to what is not too old.
func (v *roomView) expire(cutoff store.ID) {
	if !cutoff.After(v.floor) {
		return
	}
	if v.upTo(cutoff); v.ok {
		v.floor = v.id
	}
}

// after moves to the oldest message newer than id.
func (v *roomView) after(id store.ID) {
	v.at(v.cursor.Seek(messageKey(v.number, store.Newest(id, v.floor).Next())))
}

// upTo moves to the newest message no newer than id.
func (v *roomView) upTo(id store.ID) {
	// there is always a key behind: the room's record
	if key, _ := v.cursor.Seek(messageKey(v.number, id.Next())); key == nil {
		v.ok = false
		return
	}
	v.prev()
}

func (v *roomView) next() { v.at(v.cursor.Next()) }
func (v *roomView) prev() { v.at(v.cursor.Prev()) }

func (v *roomView) at(key, value []byte) {
	number, id, ok := splitKey(key)
	v.id, v.key, v.value = id, key, value
	v.ok = ok && number == v.number && id.After(v.floor)
}

// message reads the message that the cursor is at.
func (v *roomView) message() (*store.Message, error) {
	return decodeMessage(v.key, v.value, v.id, v.name)
}

// oldest returns the view that is at the oldest message, up to an id, or nil.
// Streams have few rooms with something to say, so it just looks at each.
func oldest(views []*roomView, upTo store.ID) (first *roomView) {
	for _, v := range views {
		if v.ok && !v.id.After(upTo) && (first == nil || first.id.After(v.id)) {
			first = v
		}
	}
	return first
}

// newest returns the view that is at the newest message, or nil.
func newest(views []*roomView) (last *roomView) {
	for _, v := range views {
		if v.ok && (last == nil || v.id.After(last.id)) {
			last = v
		}
	}
	return last
}
