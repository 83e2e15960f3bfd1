package bolt

import (
	"context"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// roomView is what readers can see of one room in a transaction, with a cursor.
type roomView struct {
	name   string
	number uint64
	cursor *bbolt.Cursor
	// floor is the newest message that is hidden, or the zero ID.
	floor store.ID
	// count is the number of visible messages if exact is set. Otherwise there
	// are fewer.
	count uint64
	exact bool

	// the message at the cursor; ok is false if there is none
	id         store.ID
	key, value []byte
	ok         bool
}

// views returns a view of each room that exists, and for each name the newest
// message that the room has lost; or, if changes is set, the newest revision that is not
// known any more, if that is newer.
//
// The retention must be from before the transaction began: a cut is removed from
// it once it was applied to all rooms, which an older transaction does not see.
func views(tx *bbolt.Tx, kept retention, names []string, changes bool) ([]*roomView, []store.ID, error) {
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
			if lost[i] = log.lost; changes {
				lost[i] = store.Newest(log.lost, log.unknown)
			}
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
		v.exact = v.floor == record.lost
		if lost[i] = v.floor; changes {
			lost[i] = store.Newest(v.floor, record.unknown)
		}
		views = append(views, v)
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

// cut raises the floor to hide what exceeds the cuts.
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

// expire raises the floor to hide what is no newer than cutoff.
func (v *roomView) expire(cutoff store.ID) {
	if !cutoff.After(v.floor) {
		return
	}
	if v.upTo(cutoff); v.ok {
		v.floor = v.id
	}
}

// after moves to the oldest visible message newer than id.
func (v *roomView) after(id store.ID) {
	v.at(v.cursor.Seek(messageKey(v.number, store.Newest(id, v.floor).Next())))
}

// upTo moves to the newest visible message no newer than id.
func (v *roomView) upTo(id store.ID) {
	// the room's record comes after all of its messages, so there is always a key
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

// head returns the id of the message at the cursor, if there is one.
func (v *roomView) head() (store.ID, bool) { return v.id, v.ok }

// message decodes the message at the cursor.
func (v *roomView) message() (*store.Message, error) {
	post, err := getPost(v.key, v.value)
	if err != nil {
		return nil, err
	}
	return store.NewPost(v.id, v.name, post), nil
}

// len returns the number of visible messages, or any number once ctx has ended.
func (v *roomView) len(ctx context.Context) int {
	if v.exact {
		return int(v.count) //nolint:gosec // it counts messages
	}
	n := 0
	for v.after(v.floor); v.ok && ctx.Err() == nil; v.next() {
		n++
	}
	return n
}
