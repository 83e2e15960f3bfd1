package inflight

import (
	"context"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Repeats is which drafts of a batch are repeats, of stored messages or of each other.
type Repeats struct {
	// Fresh are the others, in their order.
	Fresh []store.Draft

	log  store.Store
	room string
	each []answered
}

// answered is where the receipt of a draft comes from.
type answered struct {
	fresh int           // index in Fresh, of the draft or of the one that it repeats; -1 if it was stored before
	draft store.Draft   // if it was
	first store.Receipt // of the stored message
}

// FindRepeats finds the repeats among drafts for a room of a store. The error is that of the
// store.
func FindRepeats(ctx context.Context, log store.Store, room string, drafts []store.Draft) (*Repeats, error) {
	r := &Repeats{log: log, room: room, Fresh: make([]store.Draft, 0, len(drafts)), each: make([]answered, 0, len(drafts))}
	seen := make(map[string]answered)
	for _, draft := range drafts {
		found, ok := seen[draft.Nonce]
		if !ok || draft.Nonce == "" {
			found = answered{fresh: -1, draft: draft}
			if draft.Nonce != "" {
				var err error
				if found.first, err = log.Find(ctx, room, draft.Owner, draft.Nonce); err != nil {
					return nil, err
				}
			}
			if !found.first.Repeat {
				found.fresh = len(r.Fresh)
				r.Fresh = append(r.Fresh, draft)
			}
			seen[draft.Nonce] = found
		}
		r.each = append(r.each, found)
	}
	return r, nil
}

// Receipts returns the receipt of each draft, once the fresh ones are stored. A message that
// was deleted since is not answered again.
func (r *Repeats) Receipts(ctx context.Context, fresh []store.Receipt) []store.Receipt {
	receipts := make([]store.Receipt, len(r.each))
	given := make([]bool, len(fresh))
	for i, from := range r.each {
		if from.fresh < 0 {
			receipts[i] = from.first
			if now, err := r.log.Find(ctx, r.room, from.draft.Owner, from.draft.Nonce); err == nil && now.Repeat {
				receipts[i] = now
			}
			continue
		}
		receipts[i] = fresh[from.fresh]
		receipts[i].Repeat = receipts[i].Repeat || given[from.fresh]
		given[from.fresh] = true
	}
	return receipts
}
