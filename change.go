package ssechat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/approval"
	"github.com/sse-chat/caddy-sse-chat/internal/bodytime"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// change answers PATCH: it changes a message and returns it as it is now.
func (e *updateEndpoint) change(w http.ResponseWriter, r *http.Request, room string, by *author) error {
	id, err := oneID(r)
	if err != nil {
		return err
	}
	c, err := e.bodies.readChange(w, r, room)
	if err != nil {
		return err
	}
	receipt, err := e.submit(r, room, id, c, by)
	if err != nil {
		return err
	}
	return writeAnswer(w, http.StatusOK, "application/json", wire.AppendReceipt(nil, receipt))
}

// delete answers DELETE: it takes a message back.
func (e *updateEndpoint) delete(w http.ResponseWriter, r *http.Request, room string, by *author) error {
	id, err := oneID(r)
	if err != nil {
		return err
	}
	bodytime.LeaveUnread(w, r)
	c := store.Change{Kind: store.Delete}
	if err := setNonce(&c.Nonce, r.Header); err != nil {
		return badRequest(err)
	}
	receipt, err := e.submit(r, room, id, c, by)
	if err != nil {
		return err
	}
	return writeAnswer(w, http.StatusOK, "application/json", fmt.Appendf(nil, `{"id":"%v"}`, receipt.ID))
}

// oneID returns the id of the message that a request names. The error has the status 400.
func oneID(r *http.Request) (store.ID, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return store.ID{}, badRequest(fmt.Errorf("query: %w", err))
	}
	ids := query["id"]
	if len(ids) != 1 {
		return store.ID{}, badRequest(fmt.Errorf("id: give the id of one message, ?id=…, not of %d", len(ids)))
	}
	id, err := store.ParseID(ids[0])
	if err != nil {
		return id, badRequest(fmt.Errorf("id: %w", err))
	}
	return id, nil
}

// submit makes a change, for which it charges the client and asks the site. Like publish it
// does not stop when the client goes away.
func (e *updateEndpoint) submit(r *http.Request, room string, id store.ID, c store.Change, by *author) (store.Receipt, error) {
	c.By, c.Moderator = by.owner, e.moderates
	if c.Nonce != "" {
		c.Nonce = nonceOf(c)
	}
	if err := e.refuseKicked(by.name); err != nil {
		return store.Receipt{}, err
	}
	ctx, cancel := e.within(r)
	defer cancel()
	if c.Nonce != "" && (e.rate != nil || e.asksAbout(c.Kind)) {
		// a client can choose no nonce with a dot
		end, err := e.hub.BeginNonces(ctx, room, []store.Draft{{Owner: c.By, Nonce: c.Nonce + "." + id.String()}})
		if err != nil {
			return store.Receipt{}, storeError(err)
		}
		defer end()
	}
	give, err := e.rate.take(r)
	if err != nil {
		if c.Nonce != "" {
			if repeat, err := e.hub.Rehearse(ctx, room, id, c); err == nil && repeat.Repeat {
				return repeat, nil
			}
		}
		return store.Receipt{}, err
	}
	receipt, err := e.changeIfApproved(ctx, r, room, id, c, by)
	give(receipt, err)
	return receipt, changeError(err)
}

// asksAbout reports whether the site is asked about a kind of change.
func (e *updateEndpoint) asksAbout(kind store.ChangeKind) bool {
	return e.approval != nil && (kind == store.Edit || kind == store.Append)
}

// changeIfApproved makes a change once the site has approved it, if it is asked. It is not
// asked about repeats.
func (e *updateEndpoint) changeIfApproved(ctx context.Context, r *http.Request, room string, id store.ID, c store.Change, by *author) (store.Receipt, error) {
	if !e.asksAbout(c.Kind) {
		return e.hub.Change(ctx, room, id, c)
	}
	receipt, err := e.hub.Rehearse(ctx, room, id, c)
	if err != nil || receipt.Repeat {
		return receipt, err
	}
	if err := e.ask(ctx, r, &wire.Question{Room: room, Change: &c, About: id, Name: by.name, Author: by.tag}); err != nil {
		return store.Receipt{}, err
	}
	return e.hub.Change(ctx, room, id, c)
}

// nonceOf returns the nonce under which the store knows a change. Nobody is told that
// something was deleted because it was changed under the same nonce, or made by a
// moderator without a name. Clients cannot choose a nonce with a dot.
func nonceOf(c store.Change) string {
	nonce := c.Nonce
	if c.Kind == store.Delete {
		nonce += ".delete"
	}
	if c.Moderator {
		nonce += ".moderate"
	}
	return nonce
}

// changeError is the answer to a change that was not made, or nil.
func changeError(err error) error {
	_, answered := errors.AsType[caddyhttp.HandlerError](err)
	_, refused := errors.AsType[*approval.RefusalError](err)
	switch {
	case err == nil, answered, refused:
		return err
	case errors.Is(err, store.ErrNotFound):
		return caddyhttp.Error(http.StatusNotFound, fmt.Errorf("%w in this room", err))
	case errors.Is(err, store.ErrNotYours), errors.Is(err, store.ErrNobody), errors.Is(err, store.ErrBarred):
		return caddyhttp.Error(http.StatusForbidden, err)
	case errors.Is(err, store.ErrManyReactions):
		return caddyhttp.Error(http.StatusConflict, err)
	case errors.Is(err, store.ErrTooLong):
		return caddyhttp.Error(http.StatusRequestEntityTooLarge, err)
	default:
		return storeError(err)
	}
}
