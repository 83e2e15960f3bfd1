package ssechat

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// charge takes from what a client may send now as many messages as are new
// among drafts. give, which is called once they are stored or not, gives back
// what was taken for what is not stored, or was before: an instance of the
// hub on another node may know a nonce that this one has not heard of.
func (h *Handler) charge(ctx context.Context, r *http.Request, room string, drafts []store.Draft) (give func([]store.Receipt), err error) {
	client := limitedClient(clientIP(r))
	if client == "" {
		return func([]store.Receipt) {}, nil // it is not limited
	}
	fresh, err := h.countFresh(ctx, room, drafts)
	if err != nil {
		return nil, storeError(err)
	}
	window := time.Duration(h.Rate.Window)
	if fresh > h.Rate.Messages {
		return nil, badRequest(fmt.Errorf("the batch has %d new messages, but only %d may be sent within %s: send it in parts", fresh, h.Rate.Messages, window))
	}
	if wait := h.limiter.take(client, fresh, time.Now()); wait > 0 {
		return nil, retryAfter(http.StatusTooManyRequests, wait,
			fmt.Errorf("too many messages: %d may be sent within %s", h.Rate.Messages, window))
	}
	return func(receipts []store.Receipt) {
		unused := fresh
		for _, receipt := range receipts {
			if !receipt.Repeat {
				unused--
			}
		}
		h.limiter.giveBack(client, unused, time.Now())
	}, nil
}

// countFresh returns how many drafts are not repeats, neither of what is
// stored nor of each other.
func (h *Handler) countFresh(ctx context.Context, room string, drafts []store.Draft) (int, error) {
	fresh := 0
	seen := make(map[string]bool)
	for _, draft := range drafts {
		if draft.Nonce == "" {
			fresh++
			continue
		}
		if seen[draft.Nonce] {
			continue
		}
		seen[draft.Nonce] = true
		first, err := h.broker.store.Find(ctx, room, draft.Owner, draft.Nonce)
		if err != nil {
			return 0, err
		}
		if !first.Repeat {
			fresh++
		}
	}
	return fresh, nil
}
