package ssechat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/approval"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
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
	approval  *approval.Rule // nil if nobody is asked
	moderates bool           // requests here may change the messages of others
}

// serve answers a request.
func (e *updateEndpoint) serve(w http.ResponseWriter, r *http.Request) error {
	err := e.write(w, r)
	if refusal, ok := errors.AsType[*approval.RefusalError](err); ok {
		e.hub.Counts.Rejected.Add(hub.RejectInvalid)
		return answerRefusal(w, refusal)
	}
	return err
}

// write publishes or changes something, by the request's method.
func (e *updateEndpoint) write(w http.ResponseWriter, r *http.Request) error {
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
	receipts, err := e.publish(r, room, body.drafts, body.batchType != "")
	if err != nil {
		return err
	}
	e.hub.push.Load().Notify(newest(receipts))
	var answer []byte
	for _, receipt := range receipts {
		answer = wire.AppendReceipt(answer, receipt)
		if body.batchType != "" {
			answer = append(answer, '\n')
		}
	}
	return writeAnswer(w, postedStatus(r), cmp.Or(body.batchType, "application/json"), answer)
}

// newest returns the newest message that was stored just now, or nil if all are repeats.
func newest(receipts []store.Receipt) (m *store.Message) {
	for _, receipt := range receipts {
		if !receipt.Repeat && receipt.Message != nil && (m == nil || receipt.ID.After(m.ID)) {
			m = receipt.Message
		}
	}
	return m
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

// publish charges the client for drafts, asks the site about them, and stores them. It
// does not stop when the client goes away, because the message may be stored all the
// same: then it must count, and its repeat must not.
func (e *updateEndpoint) publish(r *http.Request, room string, drafts []store.Draft, isBatch bool) ([]store.Receipt, error) {
	ctx, cancel := e.within(r)
	defer cancel()
	if e.rate == nil && e.approval == nil {
		receipts, err := e.hub.Publish(ctx, room, drafts...)
		if err != nil {
			return nil, storeError(err)
		}
		return receipts, nil
	}
	end, err := e.hub.BeginNonces(ctx, room, drafts)
	if err != nil {
		return nil, storeError(err)
	}
	defer end()
	repeats, err := e.hub.FindRepeats(ctx, room, drafts)
	if err != nil {
		return nil, storeError(err)
	}
	give := func([]store.Receipt) {}
	if e.rate != nil {
		if give, err = e.rate.charge(r, len(repeats.Fresh)); err != nil {
			return nil, err
		}
	}
	if err := e.approve(ctx, r, room, repeats.Fresh, isBatch); err != nil {
		if !isRefusal(err) {
			give(nil)
		}
		return nil, err
	}
	// without the repeats: the store might not know their nonces any more, and they were
	// neither charged nor approved
	var receipts []store.Receipt
	if len(repeats.Fresh) > 0 {
		receipts, err = e.hub.Publish(ctx, room, repeats.Fresh...)
	}
	give(receipts)
	if err != nil {
		return nil, storeError(err)
	}
	return repeats.Receipts(ctx, receipts), nil
}

// approve asks the site about drafts, and replaces in them what it replaces.
func (e *updateEndpoint) approve(ctx context.Context, r *http.Request, room string, drafts []store.Draft, isBatch bool) error {
	if e.approval == nil || len(drafts) == 0 {
		return nil
	}
	q := &wire.Question{Room: room, IsBatch: isBatch, Messages: make([]*store.Draft, len(drafts))}
	for i := range drafts {
		q.Messages[i] = &drafts[i]
	}
	if err := e.ask(ctx, r, q); err != nil {
		return err
	}
	for i := range drafts {
		if err := e.refuseKicked(drafts[i].Name); err != nil {
			return err
		}
	}
	return nil
}

// ask asks the site. The error is its refusal, or the answer if it gives none.
func (e *updateEndpoint) ask(ctx context.Context, r *http.Request, q *wire.Question) error {
	q.ClientIP, q.Method = clientIP(r), r.Method
	err := e.approval.Ask(ctx, r, q)
	if _, refused := errors.AsType[*approval.RefusalError](err); err == nil || refused {
		return err
	}
	return retryAfter(http.StatusServiceUnavailable, storeRetryAfter,
		&unstoredError{errors.New("the site that is asked before a message is published does not answer; repeat it with the same nonce")})
}

// within returns a context for what a request writes, which ends in time but not with the
// request.
func (e *updateEndpoint) within(r *http.Request) (context.Context, context.CancelFunc) {
	limit := storeTimeout
	if e.approval != nil {
		limit += e.approval.Timeout
	}
	return context.WithTimeout(context.WithoutCancel(r.Context()), limit)
}

// refuseKicked returns an error if an author's name is kicked.
func (e *updateEndpoint) refuseKicked(name string) error {
	if e.hub.IsKicked(name) {
		return caddyhttp.Error(http.StatusForbidden,
			fmt.Errorf("the name %q was kicked less than %s ago and may not publish", name, kicks.Duration))
	}
	return nil
}
