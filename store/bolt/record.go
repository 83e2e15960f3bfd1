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
	// messagesBucket holds the messages of each room by room number and id, and
	// after them, under stateKey, the room's roomRecord. So a publish changes
	// only one page, in most cases.
	messagesBucket = []byte("messages")
	// droppedBucket holds the numbers of dropped rooms until their messages have
	// been removed.
	droppedBucket = []byte("dropped")
	// noncesBucket holds a nonceRecord for each message that has a nonce, by the
	// message's id, for as long as the nonce is known.
	noncesBucket = []byte("nonces")

	allBuckets = [][]byte{logBucket, roomsBucket, messagesBucket, droppedBucket, noncesBucket}
)

var (
	formatKey = []byte("format")
	logKey    = []byte("log")
)

// format is the version of the format that this source file describes.
const format = 1

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
}

func (l *logRecord) encode() []byte {
	b := make([]byte, 0, 3*idLen+8)
	b = appendID(appendID(appendID(b, l.origin), l.latest), l.lost)
	return binary.BigEndian.AppendUint64(b, l.rooms)
}

func decodeLog(b []byte) (l logRecord, err error) {
	if len(b) != 3*idLen+8 {
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
}

func (r *roomRecord) encode() []byte {
	return binary.BigEndian.AppendUint64(appendID(make([]byte, 0, idLen+8), r.lost), r.count)
}

func decodeRoom(b []byte) (r roomRecord, err error) {
	if len(b) != idLen+8 {
		return r, errLength
	}
	return roomRecord{decodeID(b), binary.BigEndian.Uint64(b[idLen:])}, nil
}

// encodeDraft encodes a draft, without its owner.
func encodeDraft(d store.Draft) []byte {
	b := make([]byte, 0, len(d.Name)+len(d.Nonce)+len(d.Text)+2*binary.MaxVarintLen16)
	b = appendString(b, d.Name)
	b = appendString(b, d.Nonce)
	return append(b, d.Text...)
}

func decodeDraft(b []byte) (d store.Draft, err error) {
	all := string(b) // a copy, because b is invalid after the transaction
	if d.Name, all, err = cutString(all); err != nil {
		return d, err
	}
	d.Nonce, d.Text, err = cutString(all)
	return d, err
}

// nonceRecord is the first message of a nonce.
//
// It is encoded as the room and the draft. If there is an owner, or the message is
// deleted, three strings come in the place of the room: an empty one, the kind
// with the owner, and the room. So this version reads the files of earlier ones,
// and to an earlier version such a record is the nonce of a room without a name,
// which cannot exist.
type nonceRecord struct {
	room  string
	draft store.Draft // only owner and nonce if deleted is set
	// deleted is set if the message was deleted or forgotten.
	deleted bool
}

const (
	ownedNonce   = 'm'
	deletedNonce = 'd'
)

func (r *nonceRecord) key() nonceKey { return nonceKey{r.room, r.draft.Owner, r.draft.Nonce} }

// encodeNonce encodes the record of a message. draft is its encoded draft.
func encodeNonce(room, owner string, draft []byte) []byte {
	if owner == "" {
		return append(appendString(nil, room), draft...)
	}
	return append(nonceHead(ownedNonce, owner, room), draft...)
}

// encodeDeleted encodes the record of a deleted message.
func encodeDeleted(key nonceKey) []byte {
	return append(nonceHead(deletedNonce, key.owner, key.room), encodeDraft(store.Draft{Nonce: key.nonce})...)
}

func nonceHead(kind byte, owner, room string) []byte {
	return appendString(appendString(appendString(nil, ""), string(kind)+owner), room)
}

// decodeNonce decodes a value of noncesBucket.
func decodeNonce(key, value []byte) (r nonceRecord, err error) {
	payload, err := unseal(key, value)
	if err == nil && len(key) != idLen {
		err = errLength
	}
	if err != nil {
		return r, err
	}
	room, rest, err := cutString(string(payload))
	owner := ""
	if err == nil && room == "" {
		var head string
		if head, rest, err = cutString(rest); err != nil {
			return r, err
		}
		if head == "" || head[0] != ownedNonce && head[0] != deletedNonce {
			return r, errKind
		}
		owner, r.deleted = head[1:], head[0] == deletedNonce
		room, rest, err = cutString(rest)
	}
	if err != nil {
		return r, err
	}
	r.room = room
	r.draft, err = decodeDraft([]byte(rest))
	r.draft.Owner = owner
	return r, err
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

// decodeMessage decodes a value of messagesBucket.
func decodeMessage(key, value []byte, id store.ID, room string) (*store.Message, error) {
	payload, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	draft, err := decodeDraft(payload)
	if err != nil {
		return nil, err
	}
	return store.NewMessage(id, room, draft), nil
}
