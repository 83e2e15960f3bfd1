package jetstream

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// floorHeader is the lowest millisecond that a message's id may have: that of the
// newest message that its publisher has read. The clocks of NATS servers differ, and
// that of a new leader may be behind. Messages without the header are not from this
// store.
const floorHeader = "Sse-Chat-Floor"

// maxDraft is how long the JSON of a draft may be, in bytes: a text of 30 KiB, with
// six for each byte, and the rest.
const maxDraft = 6*30<<10 + 4<<10

var errForeign = errors.New("not a message of this store")

// wireDraft is a [store.Draft] in the stream. The owner is not part of it, but of the
// key.
type wireDraft struct {
	Name  string `json:"name,omitempty"`
	Nonce string `json:"nonce,omitempty"`
	Text  string `json:"text"`
}

func encodeDraft(draft store.Draft) []byte {
	dst := append(make([]byte, 0, len(draft.Text)+64), `{"text":`...)
	dst = store.AppendString(dst, draft.Text)
	if draft.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = store.AppendString(dst, draft.Name)
	}
	if draft.Nonce != "" {
		dst = append(dst, `,"nonce":`...)
		dst = store.AppendString(dst, draft.Nonce)
	}
	return append(dst, '}')
}

func decodeDraft(data []byte) (store.Draft, error) {
	var draft wireDraft
	if len(data) > maxDraft {
		return store.Draft{}, errForeign
	}
	if err := json.Unmarshal(data, &draft); err != nil {
		return store.Draft{}, errForeign
	}
	return store.Draft{Name: draft.Name, Nonce: draft.Nonce, Text: draft.Text}, nil
}

// newMsg returns a message for the stream. The stream rejects a repeat of id.
func newMsg(subject, id string, floor int64, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		jetstream.MsgIDHeader: {id},
		floorHeader:           {strconv.FormatInt(floor, 10)},
	}}
}

// entry is a message that was read from the stream.
type entry struct {
	subject string
	seq     uint64
	header  nats.Header
	data    []byte
	time    time.Time
}

// key returns the key by which the stream recognizes repeats, or "".
func (e *entry) key() string {
	if keys := e.header[jetstream.MsgIDHeader]; len(keys) == 1 {
		return keys[0]
	}
	return ""
}

// id returns the entry's id, which is the same for every node. It returns errForeign
// for a message that is not from this store.
func (e *entry) id() (store.ID, error) {
	values := e.header[floorHeader]
	if len(values) != 1 {
		return store.ID{}, errForeign
	}
	floor, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil {
		return store.ID{}, errForeign
	}
	return store.ID{Ms: max(e.time.UnixMilli(), floor, 0), N: e.seq}, nil
}
