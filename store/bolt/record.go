package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// The buckets of a file. Every value begins with a checksum over its key and
// what follows; see seal.
var (
	// logBucket holds the format and the logRecord.
	logBucket = []byte("sse_chat")
	// roomsBucket maps the name of a room to its number.
	roomsBucket = []byte("rooms")
	// messagesBucket holds the messages of each room by room number and id,
	// and behind them, under stateKey, the room's roomRecord. So a publish
	// changes one page, and a room is read without a search.
	messagesBucket = []byte("messages")
	// droppedBucket holds the numbers of rooms that are gone, while some of
	// their messages still take up space.
	droppedBucket = []byte("dropped")
	// noncesBucket holds by id a nonceRecord of each message that has a nonce,
	// for as long as that is known.
	noncesBucket = []byte("nonces")

	allBuckets = [][]byte{logBucket, roomsBucket, messagesBucket, droppedBucket, noncesBucket}
)

var (
	formatKey = []byte("format")
	logKey    = []byte("log")
)

// format is the version of all that this file describes.
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
	errLength   = errors.New("a record has not the length that it should have")
	errCount    = errors.New("a room has fewer messages than its record says")
	errKind     = errors.New("a record is of a kind that this version does not know")
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

// decodeID reads what appendID wrote; b is long enough.
func decodeID(b []byte) store.ID {
	return store.ID{Ms: int64(binary.BigEndian.Uint64(b)), N: binary.BigEndian.Uint64(b[8:])}
}

// decodeKey reads what appendNumber wrote; b is long enough.
func decodeKey(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

func appendNumber(dst []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(dst, number)
}

// decodeNumber reads a value of roomsBucket.
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

// messageKey is where a message of a room is kept.
func messageKey(number uint64, id store.ID) []byte {
	return appendID(appendNumber(make([]byte, 0, keyLen), number), id)
}

var stateID = bytes.Repeat([]byte{0xff}, idLen)

// stateKey is where a room's record is kept: behind all of its messages.
func stateKey(number uint64) []byte {
	return append(appendNumber(make([]byte, 0, keyLen), number), stateID...)
}

// splitKey tells apart the parts of a key of messagesBucket. It reports false
// for a stateKey, and for what is no such key.
func splitKey(key []byte) (number uint64, id store.ID, ok bool) {
	if len(key) != keyLen || key[roomLen] > 0x7f {
		return 0, store.ID{}, false
	}
	return binary.BigEndian.Uint64(key), decodeID(key[roomLen:]), true
}

// logRecord is what is known of the whole log.
type logRecord struct {
	origin, latest store.ID // see [store.State]
	// lost is the newest message that went with a dropped room. Of a room
	// that is not here, nobody knows better.
	lost  store.ID
	rooms uint64 // how many
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

// roomRecord is what is known of a room besides its messages.
type roomRecord struct {
	// lost is the newest message that retention has taken away. It and what
	// is older is not seen any more, and its space is freed at leisure.
	lost store.ID
	// count is how many messages are newer than that.
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

// encodeDraft writes what a message is made of.
func encodeDraft(d store.Draft) []byte {
	b := make([]byte, 0, len(d.Name)+len(d.Nonce)+len(d.Text)+2*binary.MaxVarintLen16)
	b = appendString(b, d.Name)
	b = appendString(b, d.Nonce)
	return append(b, d.Text...)
}

func decodeDraft(b []byte) (d store.Draft, err error) {
	all := string(b) // a copy, because b is gone with the transaction
	if d.Name, all, err = cutString(all); err != nil {
		return d, err
	}
	d.Nonce, d.Text, err = cutString(all)
	return d, err
}

// nonceRecord is the message that came first under a nonce.
//
// It is written as the room and the draft. Where there is more to tell, that
// has the place of the room, behind an empty one: a kind and the owner, and
// then the room. So files of earlier versions are read as they are, and an
// earlier version takes such a record for the nonce of a room that nobody can
// name.
type nonceRecord struct {
	room  string
	draft store.Draft // of a deleted message its owner and nonce only
	// deleted tells that the message was deleted or forgotten.
	deleted bool
}

const (
	ownedNonce   = 'm'
	deletedNonce = 'd'
)

func (r *nonceRecord) key() nonceKey { return nonceKey{r.room, r.draft.Owner, r.draft.Nonce} }

// encodeNonce writes the record of a message, of which the draft is encoded.
func encodeNonce(room, owner string, draft []byte) []byte {
	if owner == "" {
		return append(appendString(nil, room), draft...)
	}
	return append(nonceHead(ownedNonce, owner, room), draft...)
}

// encodeDeleted writes the record of a message that was deleted.
func encodeDeleted(key nonceKey) []byte {
	return append(nonceHead(deletedNonce, key.owner, key.room), encodeDraft(store.Draft{Nonce: key.nonce})...)
}

func nonceHead(kind byte, owner, room string) []byte {
	return appendString(appendString(appendString(nil, ""), string(kind)+owner), room)
}

// decodeNonce reads a value of noncesBucket.
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

// cutString reads what appendString wrote, and returns the rest.
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

// decodeMessage reads the value of a message.
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
