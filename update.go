package ssechat

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/kicks"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// updateEndpoint answers POST, PATCH and DELETE /update.
type updateEndpoint struct {
	hub       *openHub
	rooms     roomRule
	authors   *authorRule
	bodies    bodyReader
	rate      *allowance
	signals   *allowance
	moderates bool // requests here may change the messages of others
}

// serve answers a request by its method.
func (e *updateEndpoint) serve(w http.ResponseWriter, r *http.Request) error {
	room, err := e.rooms.oneRoom(r)
	if err != nil {
		return err
	}
	by, err := e.authors.author(r)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPatch:
		return e.change(w, r, room, &by)
	case http.MethodDelete:
		return e.delete(w, r, room, &by)
	default:
		return e.post(w, r, room, &by)
	}
}

// post stores a message or a batch and returns what was stored, or passes a signal on.
func (e *updateEndpoint) post(w http.ResponseWriter, r *http.Request, room string, by *author) error {
	body, err := e.bodies.read(w, r, room)
	if err != nil {
		return err
	}
	if body.signal != nil {
		return e.signal(w, r, room, by, body.signal)
	}
	by.sign(body.drafts)
	for i := range body.drafts {
		if err := e.refuseKicked(body.drafts[i].Name); err != nil {
			return err
		}
	}
	receipts, err := e.publish(r, room, body.drafts)
	if err != nil {
		return err
	}
	var answer []byte
	for _, receipt := range receipts {
		answer = wire.AppendReceipt(answer, receipt)
		if body.batchType != "" {
			answer = append(answer, '\n')
		}
	}
	return writeAnswer(w, postedStatus(r), cmp.Or(body.batchType, "application/json"), answer)
}

// postedStatus returns the status of the answer to what was stored. Turbo takes a 200 to
// its forms for a failure, because it wants a redirect.
func postedStatus(r *http.Request) int {
	for _, accept := range r.Header.Values("Accept") {
		if strings.Contains(accept, "text/vnd.turbo-stream.html") {
			return http.StatusCreated
		}
	}
	return http.StatusOK
}

// signal passes a signal on to those who read the room now. One that comes too soon after
// another of the client is dropped.
func (e *updateEndpoint) signal(w http.ResponseWriter, r *http.Request, room string, by *author, signal *wire.Signal) error {
	if by.named {
		signal.Name = by.name
	}
	signal.Author = by.tag
	if err := e.refuseKicked(signal.Name); err != nil {
		return err
	}
	if _, err := e.signals.take(r); err == nil {
		e.hub.Signal(room, *signal)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
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

// refuseKicked returns an error if an author's name is kicked.
func (e *updateEndpoint) refuseKicked(name string) error {
	if e.hub.IsKicked(name) {
		return caddyhttp.Error(http.StatusForbidden,
			fmt.Errorf("the name %q was kicked less than %s ago and may not publish", name, kicks.Duration))
	}
	return nil
}
