package bolt

import (
	"context"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Append implements [store.Store].
func (s *Store) Append(ctx context.Context, room string, drafts []store.Draft) ([]store.Receipt, error) {
	var receipts []store.Receipt
	err := s.submit(ctx, costOf(drafts), func(tx *transaction) (err error) {
		receipts, err = tx.append(room, drafts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return receipts, nil
}

// costOf returns what it costs to store drafts in a room: the two records of
// the room if it is new and another one goes for it, the messages, and for each
// nonce its record and the removal of others.
func costOf(drafts []store.Draft) cost {
	c := cost{records: 2 + recordsPerDrop}
	for _, d := range drafts {
		size := len(d.Text) + len(d.Name) + len(d.Nonce)
		c = c.plus(cost{1, size})
		if d.Nonce != "" {
			c = c.plus(cost{1 + expirePerNonce, size})
		}
	}
	return c
}

// append stores drafts in a room.
func (tx *transaction) append(name string, drafts []store.Draft) ([]store.Receipt, error) {
	receipts := make([]store.Receipt, len(drafts))
	var room *publishedRoom
	for i, draft := range drafts {
		first, err := tx.first(name, draft)
		if err != nil {
			return nil, err
		}
		if first.Repeat {
			receipts[i] = first
			continue
		}
		if room == nil {
			if room, err = tx.publishTo(name); err != nil {
				return nil, err
			}
		}
		m, err := tx.put(room, draft)
		if err != nil {
			return nil, err
		}
		receipts[i] = store.Receipt{ID: m.ID, Message: m}
	}
	if room == nil {
		return receipts, nil
	}
	return receipts, tx.shorten(room.number, room.record)
}

// publishedRoom is a room in a transaction.
type publishedRoom struct {
	name   string
	number uint64
	record *openRecord
}

// publishTo returns the room of that name, made if need be.
func (tx *transaction) publishTo(name string) (*publishedRoom, error) {
	number, ok, err := numberOf(tx.rooms, name)
	if err != nil {
		return nil, err
	}
	// a copy, because name may be a piece of a whole request
	room := &publishedRoom{name: strings.Clone(name), number: number}
	if !ok {
		return room, tx.create(room)
	}
	if room.record, err = tx.record(number); err != nil {
		return nil, err
	}
	tx.active = append(tx.active, room.name)
	return room, tx.settle(number, room.record)
}

// put stores one message.
func (tx *transaction) put(room *publishedRoom, draft store.Draft) (*store.Message, error) {
	m := store.NewMessage(tx.store.clock.Next(tx.now.UnixMilli()), room.name, draft)
	key, value := messageKey(room.number, m.ID), encodeDraft(draft)
	if err := tx.messages.Put(key, seal(key, value)); err != nil {
		return nil, err
	}
	if err := tx.keepNonce(m, draft, value); err != nil {
		return nil, err
	}
	tx.work++
	room.record.count++
	room.record.changed = true
	tx.stored = append(tx.stored, m)
	tx.log.latest = m.ID
	return m, nil
}

// shorten has a room lose what is more than it may keep.
func (tx *transaction) shorten(number uint64, r *openRecord) error {
	over := int(r.count) - tx.limits.Count
	if over <= 0 {
		return nil
	}
	c := tx.messages.Cursor()
	key, _ := c.Seek(messageKey(number, r.lost.Next()))
	for n := over; n > 0; n-- {
		room, id, ok := splitKey(key)
		if !ok || room != number {
			return errCount
		}
		r.lost = id
		key, _ = c.Next()
	}
	tx.work += over / readsPerRecord
	r.count -= uint64(over)
	r.changed = true
	tx.waste(number, over)
	return nil
}

// settle has a room lose what cuts have taken away. It comes before any other
// change of the room.
func (tx *transaction) settle(number uint64, r *openRecord) error {
	v := &roomView{number: number, cursor: tx.messages.Cursor(), floor: r.lost, count: r.count}
	v.cut(tx.cuts)
	if v.floor == r.lost {
		return nil
	}
	tx.work += int(r.count) / readsPerRecord
	lost, end := 0, v.floor
	v.floor = r.lost
	for v.after(r.lost); v.ok && !v.id.After(end); v.next() {
		lost++
	}
	if uint64(lost) > r.count {
		return errCount
	}
	r.lost, r.count, r.changed = end, r.count-uint64(lost), true
	tx.waste(number, lost)
	return nil
}

// numberOf returns the number of a room, if there is such a room.
func numberOf(rooms *bbolt.Bucket, name string) (number uint64, ok bool, err error) {
	key := []byte(name)
	value := rooms.Get(key)
	if value == nil {
		return 0, false, nil
	}
	number, err = decodeNumber(key, value)
	return number, true, err
}
