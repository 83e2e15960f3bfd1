package memory

import (
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/internal/idle"
	"github.com/sse-chat/caddy-sse-chat/store/internal/revisions"
)

// room holds the messages of one room.
type room struct {
	name string
	log  store.Log
	lost store.ID    // the newest message that retention has removed
	idle *idle.Place // in Store.empty or Store.idle
	// revisions are those of the messages in log, and of deleted ones.
	revisions revisions.List
	// hollow is set if the room was empty at the last [Store.expire], and
	// nothing was published since.
	hollow bool
	empty  bool // it is in Store.empty, because it has no messages

	place  int      // index in Store.byAge, or -1
	oldest store.ID // the key in Store.byAge
}

// size returns how many bytes of memory the room uses.
func (r *room) size() int { return roomSize + len(r.name) + nameSize + r.content() }

// content returns how many bytes of memory the room's messages and revisions use.
func (r *room) content() int { return r.log.Size() + r.revisions.Size() }

// push adds the newest message, and removes the oldest beyond count.
func (r *room) push(m *store.Message, count int) {
	r.log.Push(m)
	r.hollow = false
	r.trim(count)
}

// trim removes the oldest messages beyond count.
func (r *room) trim(count int) {
	for r.log.Len() > count {
		r.shift()
	}
}

// shift removes the oldest message.
func (r *room) shift() {
	m := r.log.Shift()
	r.lost = m.ID
	r.revisions.Remove(m.Revision())
}

// expire removes the messages that are no newer than cutoff.
func (r *room) expire(cutoff store.ID) {
	for n := r.log.After(cutoff); n > 0; n-- {
		r.shift()
	}
	r.revisions.Expire(cutoff)
}
