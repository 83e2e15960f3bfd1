package jetstream

import "github.com/sse-chat/caddy-sse-chat/store"

// maxRecent is how many ids a node can judge without asking NATS.
const maxRecent = 16 << 10

// recent is the newest ids that were read of the stream, by their sequences.
type recent struct{ ids map[uint64]store.ID }

func (r *recent) add(id store.ID) {
	if r.ids == nil {
		r.ids = make(map[uint64]store.ID)
	}
	delete(r.ids, id.N-maxRecent)
	r.ids[id.N] = id
}

// at returns the id that a sequence has.
func (r *recent) at(seq uint64) (store.ID, bool) {
	id, found := r.ids[seq]
	return id, found
}
