package jetstream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
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

// wireDraft is a [store.Draft] in the stream. An owner may be any bytes. Early versions
// wrote no more than the name, the nonce and the text.
type wireDraft struct {
	Text    string `json:"text"`
	Name    string `json:"name,omitempty"`
	Nonce   string `json:"nonce,omitempty"`
	Owner   []byte `json:"owner,omitempty"`
	Author  string `json:"author,omitempty"`
	Event   string `json:"event,omitempty"`
	Data    string `json:"data,omitempty"`
	ReplyTo string `json:"reply_to,omitempty"`
}

func newWireDraft(d store.Draft) wireDraft {
	return wireDraft{d.Text, d.Name, d.Nonce, []byte(d.Owner), d.Author, d.Event, d.Data, d.ReplyTo.String()}
}

func (w *wireDraft) draft() store.Draft {
	d := store.Draft{
		Name: w.Name, Nonce: w.Nonce, Owner: store.Owner(w.Owner), Author: w.Author,
		Text: w.Text, Event: w.Event, Data: w.Data,
	}
	d.ReplyTo, _ = store.ParseID(w.ReplyTo)
	return d
}

func encodeDraft(draft store.Draft) []byte {
	dst := append(make([]byte, 0, len(draft.Text)+len(draft.Data)+64), `{"text":`...)
	dst = store.AppendString(dst, draft.Text)
	for _, field := range []struct{ key, value string }{
		{`,"name":`, draft.Name},
		{`,"nonce":`, draft.Nonce},
		{`,"owner":`, base64.StdEncoding.EncodeToString([]byte(draft.Owner))},
		{`,"author":`, draft.Author},
		{`,"event":`, draft.Event},
		{`,"data":`, draft.Data},
		{`,"reply_to":`, draft.ReplyTo.String()},
	} {
		if field.value != "" {
			dst = store.AppendString(append(dst, field.key...), field.value)
		}
	}
	return append(dst, '}')
}

func decodeDraft(data []byte) (store.Draft, error) {
	var wire wireDraft
	if len(data) > maxDraft {
		return store.Draft{}, errForeign
	}
	if err := json.Unmarshal(data, &wire); err != nil {
		return store.Draft{}, errForeign
	}
	return wire.draft(), nil
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

// plain matches names that can be part of a subject unchanged.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// escape begins the token of a name that is not plain.
const escape = "~"

// token encodes a name as one token of a subject. NATS forbids dots, spaces and
// wildcards in a token, and some tools only handle ASCII.
func token(name string) string {
	if plain.MatchString(name) {
		return name
	}
	return escape + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// untoken is the inverse of token.
func untoken(token string) (string, error) {
	if plain.MatchString(token) {
		return token, nil
	}
	encoded, escaped := strings.CutPrefix(token, escape)
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if !escaped || err != nil || len(name) == 0 {
		return "", fmt.Errorf("%q does not name a room", token)
	}
	return string(name), nil
}

// subjects are the subjects of a stream.
type subjects struct{ prefix string }

func subjectsOf(stream string) subjects { return subjects{"sse_chat." + stream} }

// rooms matches the subjects of all rooms.
func (s subjects) rooms() string { return s.prefix + ".room.*" }

// room is the subject of one room.
func (s subjects) room(name string) string { return s.prefix + ".room." + token(name) }

// roomOf is the inverse of room. It reports false for other subjects.
func (s subjects) roomOf(subject string) (name string, ok bool) {
	t, ok := strings.CutPrefix(subject, s.prefix+".room.")
	if !ok {
		return "", false
	}
	name, err := untoken(t)
	return name, err == nil
}

// revisions matches the subjects of all revisions.
func (s subjects) revisions() string { return s.prefix + ".revision.*.*" }

// revisionsOf matches the subjects of the revisions of one room.
func (s subjects) revisionsOf(room string) string {
	return s.prefix + ".revision." + token(room) + ".*"
}

// revision is the subject of the revisions of one message, or of a room's mark for 0.
func (s subjects) revision(room string, message uint64) string {
	return s.prefix + ".revision." + token(room) + "." + strconv.FormatUint(message, 10)
}

// messageOf is the inverse of revision. It reports false for other subjects.
func (s subjects) messageOf(subject string) (room string, message uint64, ok bool) {
	rest, ok := strings.CutPrefix(subject, s.prefix+".revision.")
	if !ok {
		return "", 0, false
	}
	t, number, _ := strings.Cut(rest, ".")
	room, err := untoken(t)
	if err != nil {
		return "", 0, false
	}
	message, err = strconv.ParseUint(number, 10, 64)
	return room, message, err == nil
}

// changes is the subject of changes, see [change].
func (s subjects) changes() string { return s.prefix + ".changes" }

// relay is the subject of one node's notices, which are not stored.
func (s subjects) relay(node string) string { return s.prefix + ".relay." + node }

// nodeOf is the inverse of relay.
func (s subjects) nodeOf(subject string) string {
	return strings.TrimPrefix(subject, s.prefix+".relay.")
}
