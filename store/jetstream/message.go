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

// floorHeader holds the millisecond below which a message's id must not be,
// because its publisher has seen one of then. The clocks of NATS servers
// differ, and a new leader's may be behind. The header also tells messages of
// this store from whatever else is published on its subjects.
const floorHeader = "Sse-Chat-Floor"

// maxDraft is how long the JSON of a draft may be: a text of 30 KiB, each byte
// of which may be written as six.
const maxDraft = 6*30<<10 + 4<<10

var errForeign = errors.New("not a message of this store")

// wireDraft is a [store.Draft] as it lies in the stream. The owner of its nonce
// is in its key.
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

// newMsg makes a message for the stream. id tells the stream which messages
// are repeats of each other.
func newMsg(subject, id string, floor int64, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
		jetstream.MsgIDHeader: {id},
		floorHeader:           {strconv.FormatInt(floor, 10)},
	}}
}

// entry is a message of the stream as it was read.
type entry struct {
	subject string
	seq     uint64
	header  nats.Header
	data    []byte
	time    time.Time
}

// key is the key by which the stream knows repeats of the entry.
func (e *entry) key() string {
	if keys := e.header[jetstream.MsgIDHeader]; len(keys) == 1 {
		return keys[0]
	}
	return ""
}

// id is the entry's place in the order of the log, the same for whoever reads
// it. It fails on what is not of this store.
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
