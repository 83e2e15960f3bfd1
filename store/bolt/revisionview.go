package bolt

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// errRevision is returned for a revision that is not that of its message.
var errRevision = errors.New("a revision does not match its message")

// revisionView is the notices that a span has of one room.
type revisionView struct {
	room     *roomView
	messages *bbolt.Bucket
	left     []revisions.Revision
	// ahead is the latest id of the log if the room has revisions newer than the span,
	// otherwise the zero ID.
	ahead store.ID
}

// revisionsOf returns a view of the first notices that a span has of a room, more than
// most if there are more. cutoff is as in retention.
func revisionsOf(tx *bbolt.Tx, room *roomView, span store.Span, cutoff store.ID, most int) (*revisionView, error) {
	v := &revisionView{room: room, messages: tx.Bucket(messagesBucket)}
	gone := store.Newest(room.floor, cutoff)
	log, err := getLog(tx)
	if err != nil {
		return nil, err
	}
	err = eachRevision(v.messages, room.number, span.After, func(_ []byte, r revisions.Revision) bool {
		if r.At.After(span.UpTo) {
			v.ahead = log.latest
			return false
		}
		if r.IsIn(span, gone) {
			v.left = append(v.left, r)
		}
		return len(v.left) <= most
	})
	return v, err
}

// head returns the id of the oldest notice, if there is one.
func (v *revisionView) head() (store.ID, bool) {
	if len(v.left) == 0 {
		return store.ID{}, false
	}
	return v.left[0].At, true
}

func (v *revisionView) next() { v.left = v.left[1:] }

// message encodes the oldest notice.
func (v *revisionView) message() (*store.Message, error) {
	r, name := v.left[0], v.room.name
	switch r.Kind {
	case revisions.Deleted:
		return store.NewDeletion(r.At, name, r.ID), nil
	case revisions.Forgotten:
		return store.NewForgotten(r.At, name, r.ID), nil
	case revisions.Changed:
	}
	key := messageKey(v.room.number, r.ID)
	value := v.messages.Get(key)
	if value == nil {
		return nil, errRevision
	}
	post, err := getPost(key, value)
	if err != nil {
		return nil, err
	}
	if post.Revision != r.At {
		return nil, errRevision
	}
	return store.NewWhole(r.At, store.NewPost(r.ID, name, post)), nil
}
