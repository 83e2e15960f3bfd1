package ssechat

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// serveUpdate answers POST /update: it stores a message or a batch and returns what
// was stored.
func (h *Handler) serveUpdate(w http.ResponseWriter, r *http.Request) error {
	room, err := oneRoom(r.URL)
	if err != nil {
		return badRequest(err)
	}
	logRooms(r, room)
	if err := h.refuseRooms(r, room); err != nil {
		return err
	}
	drafts, batchType, err := h.readDrafts(w, r, room)
	if err != nil {
		return err
	}
	h.setNames(r, drafts)
	if err := h.refuseKicked(drafts); err != nil {
		return err
	}
	if err := h.setOwners(r, drafts); err != nil {
		return err
	}
	receipts, err := h.publish(r, room, drafts)
	if err != nil {
		return err
	}
	var answer []byte
	for _, receipt := range receipts {
		answer = wire.AppendReceipt(answer, receipt)
		if batchType != "" {
			answer = append(answer, '\n')
		}
	}
	return writeAnswer(w, cmp.Or(batchType, "application/json"), answer)
}

// publish charges the client for drafts and stores them. It does not stop when the
// client goes away, because the message may be stored all the same: then it must
// count, and its repeat must not.
func (h *Handler) publish(r *http.Request, room string, drafts []store.Draft) ([]store.Receipt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
	defer cancel()
	give := func([]store.Receipt) {}
	if h.limiter != nil {
		end, err := h.hub.BeginNonces(ctx, room, drafts)
		if err != nil {
			return nil, storeError(err)
		}
		defer end()
		if give, err = h.charge(ctx, r, room, drafts); err != nil {
			return nil, err
		}
	}
	receipts, err := h.hub.Publish(ctx, room, drafts...)
	give(receipts)
	if err != nil {
		return nil, storeError(err)
	}
	return receipts, nil
}

// refuseKicked returns an error if one of the authors is kicked.
func (h *Handler) refuseKicked(drafts []store.Draft) error {
	for i := range drafts {
		if name := drafts[i].Name; h.hub.IsKicked(name) {
			return caddyhttp.Error(http.StatusForbidden,
				fmt.Errorf("the name %q was kicked less than %s ago and may not publish", name, hub.KickedFor))
		}
	}
	return nil
}
