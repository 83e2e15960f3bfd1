package ssechat

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/kicks"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// updateEndpoint answers POST /update.
type updateEndpoint struct {
	hub     *openHub
	rooms   roomRule
	authors *authorRule
	bodies  bodyReader
	rate    *allowance
}

// serve stores a message or a batch and returns what was stored.
func (e *updateEndpoint) serve(w http.ResponseWriter, r *http.Request) error {
	room, err := e.rooms.oneRoom(r)
	if err != nil {
		return err
	}
	drafts, batchType, err := e.bodies.read(w, r, room)
	if err != nil {
		return err
	}
	e.authors.setNames(r, drafts)
	if err := e.refuseKicked(drafts); err != nil {
		return err
	}
	if err := e.authors.setOwners(r, drafts); err != nil {
		return err
	}
	receipts, err := e.publish(r, room, drafts)
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
func (e *updateEndpoint) publish(r *http.Request, room string, drafts []store.Draft) ([]store.Receipt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
	defer cancel()
	give := func([]store.Receipt) {}
	if e.rate != nil {
		end, err := e.hub.BeginNonces(ctx, room, drafts)
		if err != nil {
			return nil, storeError(err)
		}
		defer end()
		if give, err = e.rate.charge(ctx, r, e.hub, room, drafts); err != nil {
			return nil, err
		}
	}
	receipts, err := e.hub.Publish(ctx, room, drafts...)
	give(receipts)
	if err != nil {
		return nil, storeError(err)
	}
	return receipts, nil
}

// refuseKicked returns an error if one of the authors is kicked.
func (e *updateEndpoint) refuseKicked(drafts []store.Draft) error {
	for i := range drafts {
		if name := drafts[i].Name; e.hub.IsKicked(name) {
			return caddyhttp.Error(http.StatusForbidden,
				fmt.Errorf("the name %q was kicked less than %s ago and may not publish", name, kicks.Duration))
		}
	}
	return nil
}
