package bolt

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// dropStep is how many rooms one change drops at most.
	dropStep = 64
	// recordsPerDrop is how many records that takes for each.
	recordsPerDrop = 2
)

// create makes a room. If there are too many, the idlest without readers goes.
// If there are far too many, because the limit has become lower, the sweep goes
// on with it.
func (tx *transaction) create(room *publishedRoom) error {
	for n := 0; n < dropStep && tx.log.rooms >= uint64(max(0, tx.limits.Rooms)); n++ {
		if dropped, err := tx.dropIdle(); err != nil {
			return err
		} else if !dropped {
			return store.ErrTooManyRooms
		}
	}
	tx.work++
	number, err := tx.rooms.NextSequence()
	if err != nil {
		return err
	}
	room.number = number
	room.record = &openRecord{roomRecord: roomRecord{lost: tx.log.lost}, changed: true}
	tx.records[number] = room.record
	tx.log.rooms++
	tx.active = append(tx.active, room.name)
	delete(tx.dropped, room.name)
	key := []byte(room.name)
	return tx.rooms.Put(key, seal(key, appendNumber(nil, number)))
}

// record returns a room's record.
func (tx *transaction) record(number uint64) (*openRecord, error) {
	if r := tx.records[number]; r != nil {
		return r, nil
	}
	r, err := getRoom(tx.messages, stateKey(number))
	if err != nil {
		return nil, err
	}
	tx.records[number] = &openRecord{roomRecord: r}
	return tx.records[number], nil
}

// drop forgets a room, with its messages.
func (tx *transaction) drop(name string, number uint64) error {
	r, err := tx.record(number)
	if err != nil {
		return err
	}
	lost := tx.newestIn(number, r.lost)
	tx.log.lost = store.Newest(tx.log.lost, lost)
	tx.log.rooms--
	delete(tx.records, number)
	if tx.dropped == nil {
		tx.dropped = make(map[string]bool)
	}
	tx.dropped[name] = true
	tx.urgent = append(tx.urgent, number)
	tx.work += recordsPerDrop
	if err := tx.rooms.Delete([]byte(name)); err != nil {
		return err
	}
	key := appendNumber(nil, number)
	return tx.bolt.Bucket(droppedBucket).Put(key, seal(key))
}

// newestIn returns the newest message of a room, or lost if it has none.
func (tx *transaction) newestIn(number uint64, lost store.ID) store.ID {
	return newestIn(tx.messages, number, lost)
}

func newestIn(messages *bbolt.Bucket, number uint64, lost store.ID) store.ID {
	v := &roomView{number: number, cursor: messages.Cursor(), floor: lost}
	// a room that was made a moment ago has no record behind its messages yet
	if key, _ := v.cursor.Seek(stateKey(number)); key == nil {
		v.at(v.cursor.Last())
	} else {
		v.prev()
	}
	if v.ok {
		return v.id
	}
	return lost
}

// buryStep is how many messages one transaction takes from their nonces.
const buryStep = 1024

// Forget implements [store.Store].
func (s *Store) Forget(ctx context.Context, name string) error {
	select {
	case <-s.nonces.loaded:
	case <-ctx.Done():
		return ctx.Err()
	}
	// most of them first, in small steps, so that no publisher waits for all
	var buried store.ID
	for ids := s.nonces.in(name, buried); len(ids) > buryStep; ids = ids[buryStep:] {
		if err := s.submit(ctx, cost{records: buryStep}, func(tx *transaction) error { return tx.buryIn(name, ids[:buryStep]) }); err != nil {
			return err
		}
		buried = ids[buryStep-1]
	}
	return s.submit(ctx, cost{records: 1 + buryStep}, func(tx *transaction) error {
		if err := tx.buryIn(name, append(s.nonces.in(name, buried), tx.keptIn(name)...)); err != nil {
			return err
		}
		number, ok, err := numberOf(tx.rooms, name)
		if err != nil || !ok {
			return err
		}
		r, err := tx.record(number)
		if err != nil {
			return err
		}
		r.lost, r.count, r.changed = tx.newestIn(number, r.lost), 0, true
		tx.urgent = append(tx.urgent, number)
		through := r.lost
		tx.tell = append(tx.tell, func() { s.hub.Forgotten(name, through) })
		return nil
	})
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, id store.ID) error {
	name, err := s.roomOf(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.submitLast(ctx, func(tx *transaction) error {
		room, err := tx.bury(id)
		if err != nil {
			return err
		}
		removed, err := tx.remove(name, id)
		if err != nil {
			return err
		}
		if removed {
			room = name
		} else if room == "" {
			return store.ErrNotFound
		}
		tx.tell = append(tx.tell, func() { s.hub.Deleted(room, id) })
		return nil
	})
}

// remove removes a message from a room, and reports whether it was seen there.
// One that retention has taken away, and that still takes up space, is removed
// too.
func (tx *transaction) remove(name string, id store.ID) (bool, error) {
	number, ok, err := numberOf(tx.rooms, name)
	if err != nil {
		return false, err
	}
	key := messageKey(number, id)
	if !ok || tx.messages.Get(key) == nil {
		return false, nil
	}
	r, err := tx.record(number)
	if err != nil {
		return false, err
	}
	if err := tx.settle(number, r); err != nil {
		return false, err
	}
	if id.After(r.lost) {
		r.count--
		r.changed = true
	}
	tx.work++
	return id.After(r.lost) && id.After(tx.cutoff), tx.messages.Delete(key)
}

// roomOf looks for a message in all rooms: there is no need to be fast.
func (s *Store) roomOf(ctx context.Context, id store.ID) (string, error) {
	type page struct {
		name  string
		after []byte
	}
	for after := []byte{}; after != nil; {
		found, err := look(ctx, s, func(tx *bbolt.Tx) (p page, err error) {
			messages := tx.Bucket(messagesBucket)
			p.after, err = eachRoom(tx, after, func(room []byte, number uint64) error {
				if messages.Get(messageKey(number, id)) != nil {
					p.name = string(room)
				}
				return nil
			})
			return p, err
		})
		if err != nil || found.name != "" {
			return found.name, err
		}
		after = found.after
	}
	return "", store.ErrNotFound
}

// roomsPerPage is how many rooms are looked at in one transaction.
const roomsPerPage = 512

// eachRoom calls do for the rooms of a page, whose names come after one. It
// returns the last, or nil if there are no more.
func eachRoom(tx *bbolt.Tx, after []byte, do func(name []byte, number uint64) error) ([]byte, error) {
	c := tx.Bucket(roomsBucket).Cursor()
	n := 0
	for key, value := c.Seek(append(after, 0)); key != nil; key, value = c.Next() {
		number, err := decodeNumber(key, value)
		if err != nil {
			return nil, err
		}
		if err := do(key, number); err != nil {
			return nil, err
		}
		if n++; n == roomsPerPage {
			return slices.Clone(key), nil
		}
	}
	return nil, nil
}

// idleRooms are all rooms, the one published to last in front.
type idleRooms struct {
	order list.List
	place map[string]*list.Element
}

// dropIdle drops the room that was idle longest among those without readers.
func (tx *transaction) dropIdle() (bool, error) {
	s := tx.store
	if s.idle == nil {
		idle, err := tx.idleRooms()
		if err != nil {
			return false, err
		}
		s.idle = idle
	}
	if !tx.dropping {
		tx.dropping, tx.idlest = true, s.idle.order.Back()
	}
	// a room that is being read is put aside, so that a store full of them
	// does not cost a walk over all for each message
	for tried := 0; tx.idlest != nil && tried < 256; {
		e := tx.idlest
		name := e.Value.(string)
		tx.idlest = e.Prev() // those behind it cannot go any more
		switch {
		case tx.dropped[name] || slices.Contains(tx.active, name):
		case s.hub.Reading(name):
			s.idle.order.MoveToFront(e)
			tried++
		default:
			number, ok, err := numberOf(tx.rooms, name)
			if err != nil {
				return false, err
			}
			if ok {
				return true, tx.drop(name, number)
			}
		}
	}
	return false, nil
}

// idleRooms looks at all rooms once. From then on their order is kept up.
func (tx *transaction) idleRooms() (*idleRooms, error) {
	type room struct {
		name   string
		newest store.ID
	}
	rooms := make([]room, 0, tx.log.rooms)
	for after := []byte{}; after != nil; {
		var err error
		after, err = eachRoom(tx.bolt, after, func(name []byte, number uint64) error {
			r, err := tx.record(number)
			if err != nil {
				return err
			}
			rooms = append(rooms, room{string(name), tx.newestIn(number, r.lost)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rooms, func(a, b room) int { return cmp.Or(b.newest.Compare(a.newest), cmp.Compare(a.name, b.name)) })
	tx.work += len(rooms) / readsPerRecord
	idle := &idleRooms{place: make(map[string]*list.Element, len(rooms))}
	for _, r := range rooms {
		idle.place[r.name] = idle.order.PushBack(r.name)
	}
	return idle, nil
}

// commit takes over what a transaction has done.
func (i *idleRooms) commit(tx *transaction) {
	for name := range tx.dropped {
		if e := i.place[name]; e != nil {
			i.order.Remove(e)
			delete(i.place, name)
		}
	}
	for _, name := range tx.active {
		if e := i.place[name]; e != nil {
			i.order.MoveToFront(e)
		} else {
			i.place[name] = i.order.PushFront(name)
		}
	}
}
