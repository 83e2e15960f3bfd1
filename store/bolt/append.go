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

// costOf returns the most that it costs to store drafts in a room: the room's two
// records if it is new, the removal of another room, the messages, and for each
// nonce its record and the removal of expired ones.
func costOf(drafts []store.Draft) cost {
	c := cost{records: 2 + recordsPerDrop}
	for _, d := range drafts {
		size := len(d.Text) + len(d.Data) + len(d.Name) + len(d.Nonce) + len(d.Owner) + len(d.Event)
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

// publishedRoom is a room that a transaction publishes to.
type publishedRoom struct {
	name   string
	number uint64
	record *openRecord
}

// publishTo returns the room called name, and creates it if it does not exist.
func (tx *transaction) publishTo(name string) (*publishedRoom, error) {
	number, ok, err := numberOf(tx.rooms, name)
	if err != nil {
		return nil, err
	}
	// clone the name, because it may be a slice of a whole request
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
	// clone the owner, because it may be a slice of a whole request
	draft.Owner = store.Owner(strings.Clone(string(draft.Owner)))
	m := store.NewMessage(tx.store.clock.Next(tx.now.UnixMilli()), room.name, draft)
	key, value := messageKey(room.number, m.ID), encodePost(&store.Post{Draft: draft})
	if err := tx.messages.Put(key, seal(key, value)); err != nil {
		return nil, err
	}
	if err := tx.keepNonce(m, draft, value); err != nil {
		return nil, err
	}
	tx.work++
	room.record.count++
	room.record.changed = true
	room.record.newest.message = m.ID
	tx.stored = append(tx.stored, m)
	tx.log.latest = m.ID
	return m, nil
}

// shorten hides a room's oldest messages beyond Limits.Count.
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

// settle applies the pending cuts to a room's record. Every other change of the
// room must come after it. A second call does nothing.
func (tx *transaction) settle(number uint64, r *openRecord) error {
	if r.settled {
		return nil
	}
	r.settled = true
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

// numberOf returns the number of a room. ok is false if there is no such room.
func numberOf(rooms *bbolt.Bucket, name string) (number uint64, ok bool, err error) {
	key := []byte(name)
	value := rooms.Get(key)
	if value == nil {
		return 0, false, nil
	}
	number, err = decodeNumber(key, value)
	return number, true, err
}
