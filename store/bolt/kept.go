package bolt

import (
	"github.com/sse-chat/caddy-sse-chat/store"
)

// first returns the receipt of the first message of a draft's nonce. Its Repeat is
// false if there is none.
func (tx *transaction) first(room string, draft store.Draft) (store.Receipt, error) {
	return tx.under(nonceKey{room: room, owner: draft.Owner, nonce: draft.Nonce})
}

// changed reports whether a change was made before.
func (tx *transaction) changed(key nonceKey) (bool, error) {
	receipt, err := tx.under(key)
	return receipt.Repeat, err
}

// under returns what a repeat of a nonce gets. Its Repeat is false if the nonce is not
// known, or empty.
func (tx *transaction) under(key nonceKey) (store.Receipt, error) {
	if key.nonce == "" {
		return store.Receipt{}, nil
	}
	id, ok := tx.fresh[key]
	if !ok {
		if id, ok = tx.store.nonces.find(key, tx.now); !ok {
			return store.Receipt{}, nil
		}
	}
	return receiptUnder(tx.bolt, id, key)
}

// keepNonce stores a copy of a message for as long as its nonce is known, if it has
// one. encoded is its encoded post.
func (tx *transaction) keepNonce(m *store.Message, draft store.Draft, encoded []byte) error {
	key := nonceKey{room: m.Room, owner: draft.Owner, nonce: draft.Nonce}
	return tx.keep(key, m.ID, func() []byte { return encodeNonce(m.Room, encoded) })
}

// keepChange remembers that a change was made, if it has a nonce. at is the revision, or an
// unused id if the change had no effect.
func (tx *transaction) keepChange(key nonceKey, at store.ID) error {
	return tx.keep(key, at, func() []byte { return encodeGone(key) })
}

// keep stores the record of a nonce, unless the nonce is empty.
func (tx *transaction) keep(key nonceKey, id store.ID, encode func() []byte) error {
	if key.nonce == "" {
		return nil
	}
	b := tx.bolt.Bucket(noncesBucket)
	b.FillPercent = 1 // it grows at its end only
	at := appendID(nil, id)
	value := seal(at, encode())
	if tx.fresh == nil {
		tx.fresh = make(map[nonceKey]store.ID)
	}
	tx.fresh[key] = id
	tx.kept = append(tx.kept, tx.store.nonces.entry(key, id, value))
	tx.work++
	return b.Put(at, value)
}

// keptMessage returns the record of a message that is kept for its nonce, and reports
// whether there is one.
func (tx *transaction) keptMessage(id store.ID) (r nonceRecord, ok bool, err error) {
	at := appendID(nil, id)
	value := tx.bolt.Bucket(noncesBucket).Get(at)
	if value == nil {
		return r, false, nil
	}
	r, err = decodeNonce(at, value)
	return r, err == nil && !r.deleted && r.changed.IsZero(), err
}

// replaceKept replaces a message that is kept for its nonce, if it is. encoded is the
// encoded post.
func (tx *transaction) replaceKept(id store.ID, post *store.Post, encoded []byte) error {
	if post.Nonce == "" {
		return nil
	}
	r, ok, err := tx.keptMessage(id)
	if err != nil || !ok {
		return err
	}
	if r.post.Owner != post.Owner { // a message of format 1 has an owner only here
		owned := *post
		owned.Owner = r.post.Owner
		encoded = encodePost(&owned)
	}
	at := appendID(nil, id)
	value := seal(at, encodeNonce(r.room, encoded))
	if tx.resized == nil {
		tx.resized = make(map[store.ID]int)
	}
	tx.resized[id] = len(value)
	tx.work += 1 + len(value)/bytesPerRecord
	return tx.bolt.Bucket(noncesBucket).Put(at, value)
}

// bury removes the message with that id that is kept for its nonce, if there is one, but
// not the nonce.
func (tx *transaction) bury(id store.ID) error {
	r, ok, err := tx.keptMessage(id)
	if err != nil || !ok {
		return err
	}
	tx.work++
	at := appendID(nil, id)
	return tx.bolt.Bucket(noncesBucket).Put(at, seal(at, encodeGone(r.key())))
}

// buryIn is bury for those of some ids that belong to a room.
func (tx *transaction) buryIn(room string, ids []store.ID) error {
	for _, id := range ids {
		if r, ok, err := tx.keptMessage(id); err != nil {
			return err
		} else if !ok || r.room != room {
			continue
		}
		if err := tx.bury(id); err != nil {
			return err
		}
	}
	return nil
}

// keptIn returns the ids of messages that this transaction stores with a nonce and
// that are probably in a room; see hashRoom.
func (tx *transaction) keptIn(room string) (ids []store.ID) {
	hash := tx.store.nonces.hashRoom(room)
	for _, e := range tx.kept {
		if e.room == hash {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// expirePerNonce is how many expired nonces are removed for each new one.
const expirePerNonce = 2

// expireNonces removes some of the expired nonces, more than the transaction adds.
func (tx *transaction) expireNonces() error {
	over := tx.store.nonces.over(tx.now, trailingRecords+expirePerNonce*len(tx.kept))
	tx.work += len(over)
	for _, id := range over {
		if err := tx.bolt.Bucket(noncesBucket).Delete(appendID(nil, id)); err != nil {
			return err
		}
	}
	tx.expired = len(over)
	return nil
}
