package bolt

import (
	"context"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

const (
	// recordsPerChange is how many records change with a message: its own, its revision
	// before and after, its copy that a nonce keeps, and the record of the room.
	recordsPerChange = 5
	// bytesPerRecord is how many bytes of a record take as long to write as a record.
	bytesPerRecord = 512
)

// Change implements [store.Store].
func (s *Store) Change(ctx context.Context, room string, id store.ID, c store.Change) (store.Receipt, error) {
	// clone what the message keeps, because it may be a slice of a whole request
	c.By = store.Owner(strings.Clone(string(c.By)))
	if c.Kind == store.React {
		c.Text = strings.Clone(c.Text)
	}
	if c.DryRun {
		return s.rehearse(ctx, room, id, c)
	}
	most := cost{records: recordsPerChange, bytes: 2 * (len(c.Text) + len(c.Data))}
	if c.Nonce != "" {
		most.records += 1 + expirePerNonce
	}
	var receipt store.Receipt
	err := s.submit(ctx, most, func(tx *transaction) (err error) {
		receipt, err = tx.change(room, id, c)
		return err
	})
	if err != nil {
		return store.Receipt{}, err
	}
	return receipt, nil
}

// rehearse returns what would become of a change, and only reads.
func (s *Store) rehearse(ctx context.Context, room string, id store.ID, c store.Change) (store.Receipt, error) {
	if err := s.usable(); err != nil {
		return store.Receipt{}, err
	}
	select {
	case <-s.nonces.loaded:
	case <-ctx.Done():
		return store.Receipt{}, ctx.Err()
	}
	kept := s.retention() // from before the transaction begins
	return viewUntil(ctx, s, func(bolt *bbolt.Tx) (store.Receipt, error) {
		tx, err := s.reading(bolt, kept)
		if err != nil {
			return store.Receipt{}, err
		}
		return tx.change(room, id, c)
	})
}

// change makes a change in a message of a room.
func (tx *transaction) change(name string, id store.ID, c store.Change) (store.Receipt, error) {
	found, err := tx.find(name, id)
	if err != nil {
		return store.Receipt{}, err
	}
	key := nonceKey{name, c.By, c.Nonce, id}
	if made, err := tx.changed(key); err != nil || made {
		return store.Receipt{ID: id, Message: found.message(name), Repeat: true}, err
	}
	if c.Kind == store.Delete {
		return store.Receipt{ID: id}, tx.takeBack(key, found, c)
	}
	if !found.visible {
		return store.Receipt{}, store.ErrNotFound
	}
	if c.DryRun {
		post := found.post.Clone()
		changed, err := c.Apply(&post, store.ID{Ms: tx.now.UnixMilli()})
		if err != nil {
			return store.Receipt{}, err
		}
		return store.Receipt{ID: id, Message: found.message(name), Unchanged: !changed}, nil
	}
	post, was := found.post, found.post.Revision
	clock := tx.store.clock // an id is only used if something changes, or for a nonce
	at := clock.Next(tx.now.UnixMilli())
	changed, err := c.Apply(&post, at)
	if err != nil {
		return store.Receipt{}, err
	}
	unchanged := func() store.Receipt { return store.Receipt{ID: id, Message: found.message(name), Unchanged: true} }
	if !changed && c.Nonce == "" {
		return unchanged(), nil
	}
	tx.store.clock = clock
	if !changed { // the id is only that of the nonce
		return unchanged(), tx.keepChange(key, at)
	}
	if err := tx.replace(found, was, &post); err != nil {
		return store.Receipt{}, err
	}
	if err := tx.keepChange(key, at); err != nil {
		return store.Receipt{}, err
	}
	tx.erase = tx.erase || c.Kind == store.Edit || c.Kind == store.Unreact
	after := store.NewPost(id, strings.Clone(name), post)
	delta := store.NewDelta(id, after.Room, &c, &post)
	tx.notify(func() { tx.store.hub.Changed(after, delta) })
	return store.Receipt{ID: id, Message: after}, nil
}

// foundMessage is a message in its room.
type foundMessage struct {
	id     store.ID
	number uint64 // of the room
	stored bool
	// visible is set if readers can see it: retention may only have hidden it so far.
	visible bool
	post    store.Post
}

// message returns the message, or nil if readers cannot see it.
func (f *foundMessage) message(room string) *store.Message {
	if !f.visible {
		return nil
	}
	return store.NewPost(f.id, strings.Clone(room), f.post.Clone())
}

// find finds a message in a room.
func (tx *transaction) find(name string, id store.ID) (found foundMessage, err error) {
	found.id = id
	number, ok, err := numberOf(tx.rooms, name)
	if err != nil || !ok {
		return found, err
	}
	key := messageKey(number, id)
	value := tx.messages.Get(key)
	if value == nil {
		return found, nil
	}
	found.number, found.stored = number, true
	if found.post, err = getPost(key, value); err != nil {
		return found, err
	}
	r, err := tx.removing(number)
	found.visible = err == nil && id.After(r.lost) && id.After(tx.cutoff)
	return found, err
}

// replace stores a message as it is after a change, in all places that hold it.
func (tx *transaction) replace(m foundMessage, was store.ID, post *store.Post) error {
	r, err := tx.removing(m.number)
	if err != nil {
		return err
	}
	key, value := messageKey(m.number, m.id), encodePost(post)
	tx.work += 1 + len(value)/bytesPerRecord
	if err := tx.messages.Put(key, seal(key, value)); err != nil {
		return err
	}
	if err := tx.revise(m.number, r, was, revisions.Revision{At: post.Revision, ID: m.id}); err != nil {
		return err
	}
	return tx.replaceKept(m.id, post, value)
}

// takeBack deletes a message for its author or a moderator, even if only its nonce keeps
// it.
func (tx *transaction) takeBack(key nonceKey, found foundMessage, c store.Change) error {
	owner := found.post.Owner
	if !found.visible {
		kept, ok, err := tx.keptMessage(found.id)
		if err != nil {
			return err
		}
		if !ok || kept.room != key.room {
			return store.ErrNotFound
		}
		owner = kept.post.Owner
	}
	if err := c.Check(owner); err != nil || c.DryRun {
		return err
	}
	at, err := tx.delete(key.room, found)
	if err != nil {
		return err
	}
	return tx.keepChange(key, at)
}

// delete deletes a message from its room and from its nonce, and returns the revision.
func (tx *transaction) delete(name string, m foundMessage) (at store.ID, err error) {
	at = tx.store.clock.Next(tx.now.UnixMilli())
	tx.log.latest = at
	tx.erase = true
	if err := tx.bury(m.id); err != nil {
		return at, err
	}
	if m.stored {
		if err := tx.remove(m, at); err != nil {
			return at, err
		}
	}
	name = strings.Clone(name)
	tx.notify(func() { tx.store.hub.Deleted(name, m.id, at) })
	return at, nil
}

// remove removes a message from its room, and leaves its last revision if readers could
// see it.
func (tx *transaction) remove(m foundMessage, at store.ID) error {
	r, err := tx.removing(m.number)
	if err != nil {
		return err
	}
	tx.work++
	if err := tx.messages.Delete(messageKey(m.number, m.id)); err != nil {
		return err
	}
	if m.id.After(r.lost) {
		r.count--
		r.changed = true
	}
	if m.visible {
		return tx.revise(m.number, r, m.post.Revision, revisions.Revision{At: at, ID: m.id, Kind: revisions.Deleted})
	}
	if m.post.Revision.IsZero() {
		return nil
	}
	return tx.messages.Delete(revisionKey(m.number, m.post.Revision))
}
