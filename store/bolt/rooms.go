package bolt

import (
	"cmp"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
)

const (
	// dropStep is how many rooms one change drops at most.
	dropStep = 64
	// recordsPerDrop is how many records change for each dropped room.
	recordsPerDrop = 2
)

// create creates a room, and drops others if there are too many. If there are far
// too many, because the limit was lowered, the sweep drops the rest.
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
	room.record = &openRecord{roomRecord: roomRecord{lost: tx.log.lost, unknown: tx.log.unknown}, changed: true}
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

// drop removes a room with its messages.
func (tx *transaction) drop(name string, number uint64) error {
	r, err := tx.record(number)
	if err != nil {
		return err
	}
	newest := tx.newestIn(number, r)
	tx.log.lost = store.Newest(tx.log.lost, store.Newest(r.lost, newest.message))
	tx.log.unknown = store.Newest(tx.log.unknown, store.Newest(r.unknown, newest.revision))
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
	key, payload := appendNumber(nil, number), []byte(nil)
	if r.erase {
		payload = []byte{1}
	}
	return tx.bolt.Bucket(droppedBucket).Put(key, seal(key, payload))
}

// newest is where a room ends: its newest message that is not hidden and its newest
// revision, or zero if it has none.
type newest struct {
	message, revision store.ID
	// known is set once it was read. After that it is no longer exact: what was removed
	// may have been newer.
	known bool
}

// newestIn returns where a room ends.
func (tx *transaction) newestIn(number uint64, r *openRecord) newest {
	if r.newest.known {
		return r.newest
	}
	before := func(key []byte) []byte {
		c := tx.messages.Cursor()
		// a room that this transaction has created has no record after its messages yet
		if found, _ := c.Seek(key); found == nil {
			key, _ = c.Last()
		} else {
			key, _ = c.Prev()
		}
		return key
	}
	end := newest{known: true}
	if room, id, ok := splitKey(before(revisionKey(number, store.ID{}))); ok && room == number && id.After(r.lost) {
		end.message = id
	}
	if key := before(stateKey(number)); isRevision(key, number) {
		end.revision = revisionAt(key)
	}
	return end
}

// removing prepares a room for the removal of some of its records, and returns its
// record. What is found from the end of a room must be found before that, because
// bbolt's cursors do not move back over pages that have become empty.
func (tx *transaction) removing(number uint64) (*openRecord, error) {
	r, err := tx.record(number)
	if err != nil {
		return nil, err
	}
	if err := tx.settle(number, r); err != nil {
		return nil, err
	}
	r.newest = tx.newestIn(number, r)
	return r, nil
}

// roomsPerPage is how many rooms eachRoom visits in one call.
const roomsPerPage = 512

// eachRoom calls do for the next rooms whose names come after after, at most
// roomsPerPage. It returns the last name, or nil if there are no more rooms.
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

// idleRooms holds all rooms in the order of [idle.Order], by name.
type idleRooms struct {
	order idle.Order[string]
	place map[string]*idle.Place
}

// dropIdle drops the room that has been idle longest among those without readers.
// It reports false if there is none.
func (tx *transaction) dropIdle() (bool, error) {
	s := tx.store
	if s.idle == nil {
		idle, err := tx.idleRooms()
		if err != nil {
			return false, err
		}
		s.idle = idle
	}
	if tx.droppable == nil {
		tx.droppable = s.idle.order.Search()
	}
	for {
		name, found := tx.droppable.Next(func(name string) idle.Verdict {
			switch {
			case tx.dropped[name] || slices.Contains(tx.active, name):
				return idle.Skip // the order learns of it at the commit
			case s.hub.Reading(name):
				return idle.Keep
			default:
				return idle.Drop
			}
		})
		if !found {
			return false, nil
		}
		number, ok, err := numberOf(tx.rooms, name)
		if err != nil {
			return false, err
		}
		if ok {
			return true, tx.drop(name, number)
		}
	}
}

// idleRooms reads all rooms to find their order. Afterwards, commit updates it.
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
			rooms = append(rooms, room{string(name), store.Newest(r.lost, tx.newestIn(number, r).message)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rooms, func(a, b room) int { return cmp.Or(a.newest.Compare(b.newest), cmp.Compare(b.name, a.name)) })
	tx.work += len(rooms) / readsPerRecord
	all := &idleRooms{place: make(map[string]*idle.Place, len(rooms))}
	for _, r := range rooms {
		all.place[r.name] = all.order.Add(r.name)
	}
	return all, nil
}

// commit applies what a committed transaction has changed.
func (i *idleRooms) commit(tx *transaction) {
	for name := range tx.dropped {
		if e := i.place[name]; e != nil {
			i.order.Remove(e)
			delete(i.place, name)
		}
	}
	for _, name := range tx.active {
		if e := i.place[name]; e != nil {
			i.order.Published(e)
		} else {
			i.place[name] = i.order.Add(name)
		}
	}
}
