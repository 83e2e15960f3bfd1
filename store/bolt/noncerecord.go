package bolt

import (
	"github.com/sse-chat/caddy-sse-chat/store"
)

// nonceRecord is the first message of a nonce, or a change under a nonce.
//
// It is encoded as three strings, an empty one, the kind with a payload, and the room;
// and then the message, or for a change the nonce. Records of format 1 begin with the
// room, or have the kind ownedNonce.
type nonceRecord struct {
	room string
	// post is the message as it is now. Only owner and nonce are set if the message
	// was deleted, and for a change.
	post store.Post
	// deleted is set if the message was deleted or forgotten.
	deleted bool
	// changed is the message that was changed; zero for the nonce of a message.
	changed store.ID
}

const (
	messageNonce = 'p'
	deletedNonce = 'd' // with the owner
	changeNonce  = 'c' // with the id of the message and the owner
	ownedNonce   = 'm' // with the owner; only in format 1
)

func (r *nonceRecord) key() nonceKey {
	return nonceKey{r.room, r.post.Owner, r.post.Nonce, r.changed}
}

// encodeNonce encodes the record of a message. post is its encoded post.
func encodeNonce(room string, post []byte) []byte {
	return append(nonceHead(string(messageNonce), room), post...)
}

// encodeGone encodes the record of a nonce without its message: it was deleted, or the
// nonce is that of a change.
func encodeGone(key nonceKey) []byte {
	head := string(deletedNonce)
	if !key.changed.IsZero() {
		head = string(appendID([]byte{changeNonce}, key.changed))
	}
	post := store.Post{Draft: store.Draft{Nonce: key.nonce}}
	return append(nonceHead(head+string(key.owner), key.room), encodePost(&post)...)
}

func nonceHead(head, room string) []byte {
	return appendString(appendString(appendString(nil, ""), head), room)
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
	if err != nil {
		return r, err
	}
	head := ""
	if room == "" { // or it is of format 1
		if head, rest, err = cutString(rest); err != nil {
			return r, err
		}
		if room, rest, err = cutString(rest); err != nil {
			return r, err
		}
		if head == "" {
			return r, errKind
		}
	}
	if r.post, err = decodePost([]byte(rest)); err != nil {
		return r, err
	}
	r.room = room
	return r, r.decodeHead(head)
}

// decodeHead decodes the kind with its payload.
func (r *nonceRecord) decodeHead(head string) (err error) {
	if head == "" || head == string(messageNonce) {
		return nil
	}
	owner := head[1:]
	switch head[0] {
	case ownedNonce:
	case deletedNonce:
		r.deleted = true
	case changeNonce:
		if len(owner) < idLen {
			return errLength
		}
		if r.changed, err = idField(owner[:idLen]); err != nil {
			return err
		}
		if owner = owner[idLen:]; r.changed.IsZero() {
			return errKind
		}
	default:
		return errKind
	}
	r.post.Owner = store.Owner(owner)
	return nil
}
