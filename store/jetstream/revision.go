package jetstream

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// A revision is an entry on a subject of its message. Its body is the message as it is
// now, or nothing if it was deleted. The stream keeps the last one of each message,
// because each of them replaces those before it; see [store.Store.Change] in change.go.
// What other nodes have to know without the body is in a header.

// revisionHeader holds a wireRevision in JSON.
const revisionHeader = "Sse-Chat-Revision"

// revision is what a change has made of a message.
type revision struct {
	room string
	// id is that of the message. It is zero for a mark.
	id store.ID
	// kind is what the change did.
	kind store.ChangeKind
	// was is the sequence of the revision that this one replaces, or 0.
	was uint64
	// made are the keys of the last changes of the message, without this one.
	made []string
	// added is how many bytes the change has added to the end of the text.
	added int
	// hasText and hasData are set if the change has replaced the text or the data.
	hasText, hasData bool
	// nonce is the key of the message's nonce if the message was deleted.
	nonce string
	// lost is set for a mark: it says that deletions up to that id are not known any
	// more, because there were too many in the room.
	lost store.ID
	// post is the message after the change, without its revision.
	post store.Post
}

// isMark reports whether this is no revision of a message, but the mark of a room.
func (r *revision) isMark() bool { return !r.lost.IsZero() }

// maxMade is how many keys of earlier changes a revision has. The stream itself
// recognizes more, but forgets the keys of what it has removed when it is restarted.
const maxMade = 32

// wireRevision is a revision without its post.
type wireRevision struct {
	ID      string   `json:"id,omitempty"`
	Kind    string   `json:"kind,omitempty"`
	Was     uint64   `json:"was,omitempty"`
	Made    []string `json:"made,omitempty"`
	Added   int      `json:"added,omitempty"`
	HasText bool     `json:"has_text,omitempty"`
	HasData bool     `json:"has_data,omitempty"`
	Nonce   string   `json:"nonce,omitempty"`
	Lost    string   `json:"lost,omitempty"`
}

// wirePost is a [store.Post] in the stream.
type wirePost struct {
	wireDraft

	Edited    int64          `json:"edited,omitempty"`
	Reactions []wireReaction `json:"reactions,omitempty"`
}

type wireReaction struct {
	Kind string   `json:"kind"`
	By   [][]byte `json:"by"`
}

// msg returns the revision as a message for the stream. The stream rejects it if it has
// another last revision than r.was, or a revision with the same key. With rollup, it also
// removes the older ones.
func (r *revision) msg(to subjects, key string, floor int64, rollup bool) *nats.Msg {
	var body []byte
	if r.kind != store.Delete && !r.isMark() {
		body = encodePost(&r.post)
	}
	msg := newMsg(to.revision(r.room, r.id.N), key, floor, body)
	wire := wireRevision{
		ID: r.id.String(), Kind: r.kind.String(), Was: r.was, Made: r.made, Added: r.added,
		HasText: r.hasText, HasData: r.hasData, Nonce: r.nonce, Lost: r.lost.String(),
	}
	head, err := json.Marshal(wire)
	if err != nil {
		panic(err) // impossible for strings and numbers
	}
	msg.Header.Set(revisionHeader, string(head))
	if !r.isMark() {
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(r.was, 10))
	}
	if rollup {
		msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	return msg
}

// decodeHead decodes a revision without its post.
func decodeHead(to subjects, e *entry) (*revision, error) {
	room, seq, ok := to.messageOf(e.subject)
	heads := e.header[revisionHeader]
	if !ok || len(heads) != 1 {
		return nil, errForeign
	}
	var wire wireRevision
	if err := json.Unmarshal([]byte(heads[0]), &wire); err != nil {
		return nil, errForeign
	}
	r := &revision{
		room: room, was: wire.Was, made: wire.Made, added: wire.Added,
		hasText: wire.HasText, hasData: wire.HasData, nonce: wire.Nonce,
	}
	if wire.Lost != "" {
		lost, err := store.ParseID(wire.Lost)
		r.lost = lost
		return r, err
	}
	kind := slices.Index(store.ChangeKinds, wire.Kind)
	id, err := store.ParseID(wire.ID)
	if kind < 0 || err != nil || id.N != seq {
		return nil, errForeign
	}
	r.kind, r.id = store.ChangeKind(kind), id
	return r, nil
}

// decodeRevision decodes a revision whose id is at.
func decodeRevision(to subjects, e *entry, at store.ID) (*revision, error) {
	r, err := decodeHead(to, e)
	if err != nil || r.kind == store.Delete || r.isMark() {
		return r, err
	}
	if r.post, err = decodePost(e.data); err != nil {
		return nil, err
	}
	r.post.Revision = at
	if r.kind == store.Edit || r.kind == store.Append {
		r.post.Edited = at.Ms
	}
	if r.added > len(r.post.Text) || r.added < 0 {
		return nil, errForeign
	}
	return r, nil
}

// message returns the message after the change.
func (r *revision) message() *store.Message { return store.NewPost(r.id, r.room, r.post) }

// delta returns what is new in the message.
func (r *revision) delta() *store.Message {
	c := store.Change{Kind: r.kind, HasText: r.hasText, Text: r.post.Text[len(r.post.Text)-r.added:]}
	if r.hasData {
		c.Data = r.post.Data
	}
	return store.NewDelta(r.id, r.room, &c, &r.post)
}

func encodePost(p *store.Post) []byte {
	wire := wirePost{wireDraft: newWireDraft(p.Draft), Edited: p.Edited}
	for _, r := range p.Reactions {
		by := make([][]byte, len(r.By))
		for i, owner := range r.By {
			by[i] = []byte(owner)
		}
		wire.Reactions = append(wire.Reactions, wireReaction{r.Kind, by})
	}
	data, err := json.Marshal(wire)
	if err != nil {
		panic(err) // impossible for strings and numbers
	}
	return data
}

func decodePost(data []byte) (store.Post, error) {
	var wire wirePost
	if err := json.Unmarshal(data, &wire); err != nil {
		return store.Post{}, errForeign
	}
	p := store.Post{Draft: wire.draft(), Edited: wire.Edited}
	for _, r := range wire.Reactions {
		by := make([]store.Owner, len(r.By))
		for i, owner := range r.By {
			by[i] = store.Owner(owner)
		}
		p.Reactions = append(p.Reactions, store.Reaction{Kind: r.Kind, By: by})
	}
	return p, nil
}

// madePrefix is what the key of a change with a nonce begins with, and no other key.
const madePrefix = "+"

// changeKey returns the stream's key for the nonce of a change.
func changeKey(room string, id store.ID, c *store.Change) string {
	if c.Nonce == "" {
		return randomKey()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v", room, c.By, c.Nonce, id))
	return madePrefix + base64.RawURLEncoding.EncodeToString(sum[:16])
}
