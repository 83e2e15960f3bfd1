package bolt

import (
	"bytes"
	"math"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// revisionBit distinguishes the key of a revision from that of a message. No id has it,
// because none is negative.
const revisionBit = 0x80

// revisionKey is the key in messagesBucket of a room's revision, after all messages of
// the room and before its record. The value is the kind and the id of the message. There
// is one for each message of the room that was changed, some for messages that were
// deleted, and one if the room was forgotten.
func revisionKey(number uint64, at store.ID) []byte {
	key := messageKey(number, at)
	key[roomLen] |= revisionBit
	return key
}

// isRevision reports whether a key of messagesBucket is that of a revision of a room.
func isRevision(key []byte, number uint64) bool {
	return len(key) == keyLen && decodeKey(key) == number && key[roomLen]&revisionBit != 0 && !bytes.Equal(key[roomLen:], stateID)
}

func sealRevision(key []byte, r revisions.Revision) []byte {
	return seal(key, []byte{byte(r.Kind)}, appendID(nil, r.ID))
}

// decodeRevision decodes a key and value of messagesBucket for which isRevision is true.
func decodeRevision(key, value []byte) (r revisions.Revision, err error) {
	payload, err := unseal(key, value)
	if err != nil {
		return r, err
	}
	if len(payload) != 1+idLen {
		return r, errLength
	}
	if r.Kind = revisions.Kind(payload[0]); r.Kind > revisions.Forgotten {
		return r, errKind
	}
	r.At, r.ID = revisionAt(key), decodeID(payload[1:])
	return r, nil
}

// revisionAt returns the revision of a key for which isRevision is true.
func revisionAt(key []byte) store.ID {
	at := decodeID(key[roomLen:])
	at.Ms &= math.MaxInt64
	return at
}

// eachRevision calls do for the revisions of a room that are newer than after, oldest
// first, until it returns false.
func eachRevision(messages *bbolt.Bucket, number uint64, after store.ID, do func(key []byte, r revisions.Revision) bool) error {
	c := messages.Cursor()
	for key, value := c.Seek(revisionKey(number, after.Next())); isRevision(key, number); key, value = c.Next() {
		r, err := decodeRevision(key, value)
		if err != nil {
			return err
		}
		if !do(key, r) {
			return nil
		}
	}
	return nil
}

// revise stores the newest revision of a room. was is the message's revision before, or
// the zero ID. The caller must have called removing.
func (tx *transaction) revise(number uint64, room *openRecord, was store.ID, r revisions.Revision) error {
	if !was.IsZero() {
		if err := tx.messages.Delete(revisionKey(number, was)); err != nil {
			return err
		}
	}
	key := revisionKey(number, r.At)
	room.newest.revision = r.At
	tx.log.latest = r.At
	tx.work += 2
	if err := tx.messages.Put(key, sealRevision(key, r)); err != nil || r.Kind != revisions.Deleted {
		return err
	}
	room.graves++
	room.changed = true
	return tx.limitGraves(number, room)
}

// limitGraves removes the oldest revisions of deleted messages if there are too many.
func (tx *transaction) limitGraves(number uint64, room *openRecord) error {
	most := revisions.Most(tx.limits.Count)
	if room.graves <= uint64(most) {
		return nil
	}
	// some more, so that not every deletion has to search for them
	over := int(room.graves) - most + min(most/8, trimStep) //nolint:gosec // it counts revisions
	var graves []revisions.Revision
	read := 0
	err := eachRevision(tx.messages, number, store.ID{}, func(_ []byte, r revisions.Revision) bool {
		read++
		if r.Kind == revisions.Deleted {
			graves = append(graves, r)
		}
		return len(graves) < over
	})
	if err != nil {
		return err
	}
	tx.work += read/readsPerRecord + len(graves)
	for _, r := range graves {
		if r.ID.After(room.lost) { // or it would not be kept any more
			room.unknown = store.Newest(room.unknown, r.At)
		}
		if err := tx.messages.Delete(revisionKey(number, r.At)); err != nil {
			return err
		}
	}
	room.graves -= uint64(len(graves))
	return nil
}

// outdated reports whether nobody has to be told of a revision any more, because the
// messages of its room up to gone are gone. Readers who have not heard of a forgotten
// room learn of what is lost instead, once that is newer than they are.
func outdated(r revisions.Revision, gone store.ID) bool {
	return !r.At.After(gone) || r.Kind != revisions.Forgotten && !r.ID.After(gone)
}

// outdatedIn returns the keys of a room's oldest revisions as far as they are outdated. It
// counts them as removed. The others become the oldest in time.
func (tx *transaction) outdatedIn(number uint64, room *openRecord, most int) (keys [][]byte, err error) {
	gone := store.Newest(room.lost, tx.cutoff)
	err = eachRevision(tx.messages, number, store.ID{}, func(key []byte, r revisions.Revision) bool {
		if len(keys) == most || !outdated(r, gone) {
			return false
		}
		keys = append(keys, key)
		if r.Kind == revisions.Deleted && room.graves > 0 {
			room.graves--
			room.changed = true
		}
		return true
	})
	return keys, err
}
