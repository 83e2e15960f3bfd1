package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// The buckets of a file. Every value begins with a checksum of its key and the rest
// of the value; see seal.
var (
	// logBucket holds the format and the logRecord.
	logBucket = []byte("sse_chat")
	// roomsBucket maps the name of a room to its number.
	roomsBucket = []byte("rooms")
	// messagesBucket holds the messages of each room by room number and id; after
	// them what has changed, see revisionKey; and after that, under stateKey, the
	// room's roomRecord. So a publish changes only one page, in most cases, and so
	// does a change.
	messagesBucket = []byte("messages")
	// droppedBucket holds the numbers of dropped rooms until their messages have
	// been removed. The value has a payload if these were forgotten before.
	droppedBucket = []byte("dropped")
	// noncesBucket holds a nonceRecord for each message and each change that has a
	// nonce, by the id of the message or the change, for as long as the nonce is
	// known.
	noncesBucket = []byte("nonces")

	allBuckets = [][]byte{logBucket, roomsBucket, messagesBucket, droppedBucket, noncesBucket}
)

var (
	formatKey = []byte("format")
	logKey    = []byte("log")
)

// format is the version of the format that this package writes. upgrade makes it of an
// older one.
const format = 2

const (
	idLen   = 16
	roomLen = 8
	keyLen  = roomLen + idLen
	sumLen  = crc32.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errChecksum = errors.New("a record does not match its checksum")
	errLength   = errors.New("a record has the wrong length")
	errCount    = errors.New("a room has fewer messages than its record says")
	errKind     = errors.New("a record is of an unknown kind")
)

// seal returns the value for a key: a checksum and payload.
func seal(key []byte, payload ...[]byte) []byte {
	size := sumLen
	for _, p := range payload {
		size += len(p)
	}
	value := make([]byte, sumLen, size)
	for _, p := range payload {
		value = append(value, p...)
	}
	binary.BigEndian.PutUint32(value, sum(key, value[sumLen:]))
	return value
}

// unseal returns the payload of a value.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < sumLen || binary.BigEndian.Uint32(value) != sum(key, value[sumLen:]) {
		return nil, fmt.Errorf("%w: key %.64x", errChecksum, key)
	}
	return value[sumLen:], nil
}

func sum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

func appendID(dst []byte, id store.ID) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(id.Ms))
	return binary.BigEndian.AppendUint64(dst, id.N)
}

// decodeID is the inverse of appendID. b must be long enough.
func decodeID(b []byte) store.ID {
	return store.ID{Ms: int64(binary.BigEndian.Uint64(b)), N: binary.BigEndian.Uint64(b[8:])}
}

// decodeKey is the inverse of appendNumber. b must be long enough.
func decodeKey(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

func appendNumber(dst []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(dst, number)
}

// decodeNumber decodes a value of roomsBucket.
func decodeNumber(key, value []byte) (uint64, error) {
	payload, err := unseal(key, value)
	if err == nil && len(payload) != roomLen {
		err = errLength
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(payload), nil
}

// messageKey is the key of a message in messagesBucket.
func messageKey(number uint64, id store.ID) []byte {
	return appendID(appendNumber(make([]byte, 0, keyLen), number), id)
}

var stateID = bytes.Repeat([]byte{0xff}, idLen)

// stateKey is the key of a room's record in messagesBucket, after all of its
// messages.
func stateKey(number uint64) []byte {
	return append(appendNumber(make([]byte, 0, keyLen), number), stateID...)
}

// splitKey is the inverse of messageKey. It reports false for other keys.
func splitKey(key []byte) (number uint64, id store.ID, ok bool) {
	if len(key) != keyLen || key[roomLen] > 0x7f {
		return 0, store.ID{}, false
	}
	return binary.BigEndian.Uint64(key), decodeID(key[roomLen:]), true
}

// logRecord is the record of the whole log.
type logRecord struct {
	origin, latest store.ID // see [store.State]
	// lost is the newest message of all dropped rooms. Any room that the store
	// does not hold may have lost that message.
	lost  store.ID
	rooms uint64 // number of rooms
	// unknown is the newest revision of all dropped rooms, likewise. Only readers who ask
	// for changes need to know of it.
	unknown store.ID
	// erase is set if free pages may hold what was deleted or replaced, see eraser.
	erase bool
}

func (l *logRecord) encode() []byte {
	b := make([]byte, 0, 4*idLen+8+1)
	b = appendID(appendID(appendID(b, l.origin), l.latest), l.lost)
	b = appendBool(binary.BigEndian.AppendUint64(b, l.rooms), l.erase)
	return appendID(b, l.unknown)
}

// decodeLog decodes the log's record. That of format 1 ends with rooms.
func decodeLog(b []byte) (l logRecord, err error) {
	const oldLen = 3*idLen + 8
	switch len(b) {
	case oldLen:
	case oldLen + 1 + idLen:
		l.erase, l.unknown = b[oldLen] != 0, decodeID(b[oldLen+1:])
	default:
		return l, errLength
	}
	l.origin, l.latest, l.lost = decodeID(b), decodeID(b[idLen:]), decodeID(b[2*idLen:])
	l.rooms = binary.BigEndian.Uint64(b[3*idLen:])
	return l, nil
}

// roomRecord is a room's record.
type roomRecord struct {
	// lost is the newest message that retention has removed. That message and
	// older ones are hidden; their space is freed later.
	lost store.ID
	// count is the number of messages newer than lost.
	count uint64
	// graves is the number of revisions that are left of deleted messages.
	graves uint64
	// unknown is the newest revision of a deleted message that was removed because
	// there were too many.
	unknown store.ID
	// erase is set while messages are hidden that were forgotten: when they are
	// removed, their bytes must be overwritten.
	erase bool
}

func (r *roomRecord) encode() []byte {
	b := binary.BigEndian.AppendUint64(appendID(make([]byte, 0, 2*idLen+8+8+1), r.lost), r.count)
	return appendBool(appendID(binary.BigEndian.AppendUint64(b, r.graves), r.unknown), r.erase)
}

// decodeRoom decodes a room's record. That of format 1 has only lost and count.
func decodeRoom(b []byte) (r roomRecord, err error) {
	const oldLen = idLen + 8
	switch len(b) {
	case oldLen:
	case oldLen + 8 + idLen + 1:
		r.graves = binary.BigEndian.Uint64(b[oldLen:])
		r.unknown, r.erase = decodeID(b[oldLen+8:]), b[oldLen+8+idLen] != 0
	default:
		return r, errLength
	}
	r.lost, r.count = decodeID(b), binary.BigEndian.Uint64(b[idLen:])
	return r, nil
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// cutString is the inverse of appendString. It also returns what follows. It decodes
// the length by hand, because binary.Uvarint would need a copy of the string.
func cutString(s string) (first, rest string, err error) {
	var size uint64
	for i := range min(len(s), binary.MaxVarintLen64) {
		size |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			if s = s[i+1:]; size > uint64(len(s)) {
				return "", "", errLength
			}
			return s[:size], s[size:], nil
		}
	}
	return "", "", errLength
}
