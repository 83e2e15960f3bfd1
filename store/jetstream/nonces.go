package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// The most that one generation of nonces holds, so that a flood of them does not fill
// the memory.
const (
	maxNonces     = 500_000
	maxNonceBytes = 128 << 20 // of messages
)

// nonceKey returns the stream's key for a nonce. All rooms and owners share the key
// space of the stream. The key has only a hash of the owner, because owners can have
// any length and are confidential.
func nonceKey(room string, owner store.Owner, nonce string) string {
	if owner == "" {
		return roomKeys(room) + nonce
	}
	sum := sha256.Sum256([]byte(owner))
	return roomKeys(room) + base64.RawURLEncoding.EncodeToString(sum[:16]) + keySeparator + nonce
}

// keySeparator is in the key of every nonce, and in no other key.
const keySeparator = ":"

// roomKeys returns the prefix of the keys of a room's nonces.
func roomKeys(room string) string { return token(room) + keySeparator }

// nonces remembers the first message of each nonce, in two generations: when the
// younger one is full or too old, the older one is forgotten. Memory and bolt forget
// nonces one by one instead; here that would need a queue beside the keys.
type nonces struct {
	young, old map[string]*store.Message
	bytes      int // of the messages in young
	since      time.Time

	// gone holds the ids of deleted messages, by their keys.
	gone map[string]store.ID
	// forgotten holds the newest removed message of each room that was forgotten.
	forgotten map[string]store.ID
	// unknown is an id up to which any message may have been deleted.
	unknown store.ID

	// made holds the ids of changes by their keys, in the same two generations as the
	// messages.
	made, madeBefore map[string]store.ID
}

// find returns the receipt of the first message of a key. Its Repeat is false if there
// is none within [store.NonceLife].
func (n *nonces) find(key string, now time.Time) (r store.Receipt) {
	if m := n.message(key); m != nil {
		r = store.Receipt{ID: m.ID, Message: m, Repeat: true}
	} else if id, ok := n.gone[key]; ok {
		r = store.Receipt{ID: id, Repeat: true}
	}
	if r.Repeat && isOver(r.ID, now) {
		return store.Receipt{}
	}
	return r
}

// addMade remembers the key of a change that was made at an id, if it is one of a nonce.
func (n *nonces) addMade(key string, at store.ID, now time.Time) {
	if !strings.HasPrefix(key, madePrefix) || isOver(at, now) || n.wasMade(key, now) {
		return
	}
	n.expire(now)
	if len(n.made) >= maxNonces {
		n.turn(now)
	}
	n.begin(now)
	if n.made == nil {
		n.made = make(map[string]store.ID)
	}
	n.made[key] = at
}

// wasMade reports whether a change with that key was made within [store.NonceLife].
func (n *nonces) wasMade(key string, now time.Time) bool {
	at, made := n.made[key]
	if !made {
		at, made = n.madeBefore[key]
	}
	return made && !isOver(at, now)
}

// replace replaces the first message of a key by what it is now.
func (n *nonces) replace(key string, m *store.Message) {
	if first := n.young[key]; first != nil && first.ID.N == m.ID.N {
		n.young[key] = m
		n.bytes += len(m.Frame()) - len(first.Frame())
	}
	if first := n.old[key]; first != nil && first.ID.N == m.ID.N {
		n.old[key] = m
	}
}

// message returns the first message of a key, or nil.
func (n *nonces) message(key string) *store.Message {
	if m := n.young[key]; m != nil {
		return m
	}
	return n.old[key]
}

// isOver reports whether the nonce of a message has expired.
func isOver(id store.ID, now time.Time) bool {
	return now.UnixMilli()-id.Ms > store.NonceLife.Milliseconds()
}

func (n *nonces) add(key string, m *store.Message, now time.Time) {
	n.expire(now)
	if len(n.young) >= maxNonces || n.bytes >= maxNonceBytes {
		n.turn(now)
	}
	n.begin(now)
	if n.young == nil {
		n.young = make(map[string]*store.Message)
	}
	delete(n.gone, key)
	n.young[key] = m
	n.bytes += len(m.Frame())
}

// bury forgets the message with an id, but not its key. The message need not be known.
func (n *nonces) bury(key string, id store.ID, now time.Time) {
	if m := n.message(key); m != nil && m.ID.N != id.N || isOver(id, now) || !strings.Contains(key, keySeparator) {
		return
	}
	if m := n.young[key]; m != nil {
		n.bytes -= len(m.Frame())
	}
	delete(n.young, key)
	delete(n.old, key)
	if n.gone == nil {
		n.gone = make(map[string]store.ID)
	}
	n.gone[key] = id
}

// buryRoom forgets all messages of a room up to through, but not their keys.
func (n *nonces) buryRoom(room string, through store.ID, now time.Time) {
	for key, m := range n.in(room) {
		if m.ID.N <= through.N {
			n.bury(key, m.ID, now)
		}
	}
	if isOver(through, now) {
		return
	}
	if n.forgotten == nil {
		n.forgotten = make(map[string]store.ID)
	}
	n.forgotten[room] = store.Newest(n.forgotten[room], through)
}

// in returns the known messages of a room, by their keys.
func (n *nonces) in(room string) map[string]*store.Message {
	found, prefix := make(map[string]*store.Message), roomKeys(room)
	for _, generation := range []map[string]*store.Message{n.young, n.old} {
		for key, m := range generation {
			if strings.HasPrefix(key, prefix) {
				found[key] = m
			}
		}
	}
	return found
}

// keyOf returns the key of the message with an id, if it is known. It searches all of
// them.
func (n *nonces) keyOf(id store.ID) (key string, m *store.Message) {
	for _, generation := range []map[string]*store.Message{n.young, n.old} {
		for key, m := range generation {
			if m.ID == id {
				return key, m
			}
		}
	}
	return "", nil
}

// expire forgets the older generation if the younger one is older than
// [store.NonceLife].
func (n *nonces) expire(now time.Time) {
	if len(n.young)+len(n.old)+len(n.gone)+len(n.forgotten)+len(n.made)+len(n.madeBefore) > 0 && now.Sub(n.since) > store.NonceLife {
		n.turn(now)
	}
}

// begin begins the younger generation if it is empty.
func (n *nonces) begin(now time.Time) {
	if n.young == nil && n.made == nil {
		n.since = now
	}
}

// turn makes the younger generation the older one.
func (n *nonces) turn(now time.Time) {
	n.young, n.old, n.bytes, n.since = nil, n.young, 0, now
	n.made, n.madeBefore = nil, n.made
	for _, ids := range []map[string]store.ID{n.gone, n.forgotten} {
		for key, id := range ids {
			if isOver(id, now) {
				delete(ids, key)
			}
		}
	}
}

// maxChangeBytes is about how many bytes of nonces a change may have, so that it is no
// larger than a message may be.
const maxChangeBytes = 128 << 10

// toBury returns the known messages of a room up to through, as in [change.Nonces]. It
// leaves out the oldest if there are too many.
func (n *nonces) toBury(room string, through store.ID) map[string]string {
	prefix := roomKeys(room)
	type known struct {
		key string
		id  store.ID
	}
	var list []known
	for key, m := range n.in(room) {
		if m.ID.N <= through.N {
			list = append(list, known{strings.TrimPrefix(key, prefix), m.ID})
		}
	}
	slices.SortFunc(list, func(a, b known) int { return b.id.Compare(a.id) })
	ids := make(map[string]string)
	size := 0
	for _, k := range list {
		id := k.id.String()
		if size += len(k.key) + len(id) + len(`"":"",`); size > maxChangeBytes {
			break
		}
		ids[k.key] = id
	}
	return ids
}

// finishRepeat finishes a message that is a repeat of the one at seq, with the receipt
// of that one.
func (s *Store) finishRepeat(ctx context.Context, p *pending, seq uint64) error {
	if err := s.waitFor(ctx, seq); err != nil {
		return err
	}
	if p.finished() {
		return nil
	}
	s.mu.RLock()
	first := s.nonces.find(p.key, time.Now())
	s.mu.RUnlock()
	if !first.Repeat {
		var err error
		if first, err = s.receiptAt(ctx, seq, p); err != nil {
			return err
		}
	}
	s.finish(p, first, nil)
	return nil
}

// receiptAt returns the receipt for a repeat of the message at seq, whose nonce this
// node does not know.
func (s *Store) receiptAt(ctx context.Context, seq uint64, p *pending) (store.Receipt, error) {
	room, _ := s.subjects.roomOf(p.msg.Subject)
	e, err := s.get(ctx, getRequest{Seq: seq})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.receiptOfGone(ctx, room, seq, p)
	case err != nil:
		return store.Receipt{}, err
	}
	id, err := e.id()
	if err != nil {
		return store.Receipt{}, err
	}
	return s.receiptOf(ctx, room, id, e.data)
}

// receiptOf returns the receipt for a repeat of a message, from its encoded draft.
func (s *Store) receiptOf(ctx context.Context, room string, id store.ID, data []byte) (store.Receipt, error) {
	last, err := s.lastRevision(ctx, room, id.N)
	if err != nil {
		return store.Receipt{}, err
	}
	s.mu.RLock()
	deleted := s.wasDeleted(room, id.N)
	s.mu.RUnlock()
	switch {
	case deleted || last != nil && last.kind == store.Delete: // the stream is about to remove it
		return store.Receipt{ID: id, Repeat: true}, nil
	case last != nil:
		return store.Receipt{ID: last.id, Message: last.message(), Repeat: true}, nil
	}
	draft, err := decodeDraft(data)
	if err != nil {
		return store.Receipt{}, err
	}
	return store.Receipt{ID: id, Message: store.NewMessage(id, room, draft), Repeat: true}, nil
}

// receiptOfGone is receiptAt for a message that the stream no longer has.
func (s *Store) receiptOfGone(ctx context.Context, room string, seq uint64, p *pending) (store.Receipt, error) {
	// a message is deleted only after the change that says so was published, so
	// read that first
	last, err := s.last(ctx)
	if err != nil {
		return store.Receipt{}, err
	}
	if err := s.waitFor(ctx, last); err != nil {
		return store.Receipt{}, err
	}
	s.mu.RLock()
	first := s.nonces.find(p.key, time.Now())
	id := store.ID{Ms: s.latest.Ms, N: seq}
	deleted := seq <= s.nonces.unknown.N
	s.mu.RUnlock()
	switch {
	case first.Repeat:
		return first, nil
	case deleted:
		return store.Receipt{ID: id, Repeat: true}, nil
	}
	// retention has removed it: the draft of the repeat is all that is left
	return s.receiptOf(ctx, room, id, p.msg.Data)
}
