package hub

import "github.com/sse-chat/caddy-sse-chat/store"

// mayHaveChanged reports whether something may have changed in the room since an id.
func (r *room) mayHaveChanged(since store.ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.notices.MayHaveChanged(since)
}

// withdrawnFrom reports whether one of some messages, sorted by id, was deleted or replaced
// since an id, or may have been.
func (r *room) withdrawnFrom(messages []*store.Message, since store.ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.notices.WithdrawnFrom(r.name, messages, since)
}

// change replaces a message by what it is now, and appends the delta. It returns by how
// many bytes the rings grew, and whether they have to be trimmed later.
func (r *room) change(now, delta *store.Message, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	if r.ring.Replace(now) {
		if t := r.tip.Load(); t != nil && t.message.ID == now.ID {
			r.tip.Store(&tip{now, t.after})
		}
		r.shorten(bounds, all, delta.ID.Ms)
	}
	grown = int64(r.ring.Bytes() - before)
	return grown + r.pushNotice(delta, now, bounds, all), bounds.oversized(&r.ring)
}

// delete is change for a message that was deleted.
func (r *room) delete(id, at store.ID, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.ring.Remove(id)
	r.tip.Store(nil)
	grown = int64(r.ring.Bytes() - before)
	return grown + r.pushNotice(store.NewDeletion(at, r.name, id), nil, bounds, all), false
}

// forget is change for all messages up to an id that were forgotten. If at is zero they
// were lost, and there is no notice of that. Readers behind it have to ask the store.
func (r *room) forget(through, at store.ID, bounds *bounds, all int64) (grown int64, oversized bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.ring.Bytes()
	r.tip.Store(nil)
	r.dropThrough(through)
	grown = int64(r.ring.Bytes() - before)
	if !at.IsZero() {
		grown += r.pushNotice(store.NewForgotten(at, r.name, through), nil, bounds, all)
	}
	return grown, false
}

// pushNotice appends a notice, within bounds. all is the size of all rings. The caller
// holds mu.
func (r *room) pushNotice(notice, now *store.Message, bounds *bounds, all int64) int64 {
	n := &r.notices
	before := n.Size()
	n.Push(notice, now)
	most := bounds.ringMessages
	if all > bounds.allRingBytes {
		most = bounds.crowdedMessages
	}
	n.Shorten(most, bounds.ringBytes)
	return int64(n.Size() - before)
}

// restart empties the rings, because the log may have something else up to an id. It
// returns by how many bytes they grew.
func (r *room) restart(upTo store.ID) int64 {
	grown := r.clear()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.floor = store.Newest(r.floor, upTo)
	r.notices.Lack(upTo)
	return grown
}
