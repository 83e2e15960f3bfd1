package jetstream

import "github.com/sse-chat/caddy-sse-chat/store"

// maxFresh is how many messages fresh holds.
const maxFresh = 128

// fresh holds messages that were changed a moment ago, as they are now, because a message
// that grows word by word is changed again and again. The zero fresh is empty. It is not
// safe for concurrent use.
type fresh struct {
	messages map[uint64]changedMessage // by their sequences
	order    []uint64                  // of messages, the oldest first
}

// changedMessage is a message with the keys of its last changes, at most maxMade.
type changedMessage struct {
	*store.Message

	made []string
}

// nonceKey returns the key of the message's nonce, or "" if it has none or is nil.
func (m changedMessage) nonceKey() string {
	if m.Message == nil {
		return ""
	}
	if post := m.Post(); post.Nonce != "" {
		return nonceKey(m.Room, m.Owner, post.Nonce)
	}
	return ""
}

// add adds a message or replaces it, and removes the oldest one if there are too many.
func (f *fresh) add(m *store.Message, made []string) {
	if f.messages == nil {
		f.messages = make(map[uint64]changedMessage)
	}
	if _, known := f.messages[m.ID.N]; !known {
		if len(f.order) == maxFresh {
			delete(f.messages, f.order[0])
			f.order = append(f.order[:0], f.order[1:]...)
		}
		f.order = append(f.order, m.ID.N)
	}
	f.messages[m.ID.N] = changedMessage{m, made[max(0, len(made)-maxMade):]}
}

// at returns the message with an id at a revision, and false if it is not among them.
func (f *fresh) at(id, revision store.ID) (changedMessage, bool) {
	m, found := f.messages[id.N]
	return m, found && m.ID == id && m.Revision() == revision
}

// remove removes a message. Its place in the order stays.
func (f *fresh) remove(id store.ID) { delete(f.messages, id.N) }
