package ssechat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// storeTimeout is how long a publisher waits for the store.
	storeTimeout = 10 * time.Second
	// storeRetryAfter is when to come back to a store that is down.
	storeRetryAfter = 2 * time.Second
)

// serveUpdate answers POST /update: it stores a message, or a batch of them,
// and returns what was stored.
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
		answer = appendReceipt(answer, receipt)
		if batchType != "" {
			answer = append(answer, '\n')
		}
	}
	return writeAnswer(w, cmp.Or(batchType, "application/json"), answer)
}

// publish stores drafts for a client that may publish now. It waits for the
// store even if the client goes away, because the message may be stored all the
// same: it counts, and its repeat must not.
func (h *Handler) publish(r *http.Request, room string, drafts []store.Draft) ([]store.Receipt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
	defer cancel()
	give := func([]store.Receipt) {}
	if h.limiter != nil {
		end, err := h.broker.underway.begin(ctx, room, drafts)
		if err != nil {
			return nil, storeError(err)
		}
		defer end()
		if give, err = h.charge(ctx, r, room, drafts); err != nil {
			return nil, err
		}
	}
	receipts, err := h.broker.publish(ctx, room, drafts...)
	give(receipts)
	if err != nil {
		return nil, storeError(err)
	}
	return receipts, nil
}

// storeError is the answer when it is unknown whether a message was stored.
func storeError(err error) error {
	return retryAfter(http.StatusServiceUnavailable, storeRetryAfter,
		&unstoredError{fmt.Errorf("storing the message: %w; repeat it with the same nonce", err)})
}

// unstoredError is why a message may not be stored. The log tells once when that
// begins, and once when it ends, instead of for each message.
type unstoredError struct{ error }

func (e *unstoredError) Unwrap() error { return e.error }

// setNames sets the authors if the configuration does.
func (h *Handler) setNames(r *http.Request, drafts []store.Draft) {
	name, given := h.configuredName(r)
	for i := range drafts {
		if given {
			drafts[i].Name = name
		}
	}
}

// refuseKicked returns an error if one of the authors is kept out.
func (h *Handler) refuseKicked(drafts []store.Draft) error {
	for i := range drafts {
		if name := drafts[i].Name; h.broker.kicks.holds(name) {
			return caddyhttp.Error(http.StatusForbidden,
				fmt.Errorf("the name %q was kicked less than %s ago and may not publish", name, kickedFor))
		}
	}
	return nil
}

// oneRoom returns the room that a URL names once, or the lobby if it names
// none.
func oneRoom(u *url.URL) (string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	rooms, given := query["room"]
	switch {
	case !given:
		return store.Lobby, nil
	case len(rooms) > 1:
		return "", errors.New("room: give one, not several")
	}
	return rooms[0], checkRoom(rooms[0])
}

// retryAfter is an error that tells when to come back.
func retryAfter(status int, wait time.Duration, err error) error {
	return caddyhttp.Error(status, &laterError{err, strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))})
}

// laterError carries the value of Retry-After.
type laterError struct {
	error
	seconds string
}

func (e *laterError) Unwrap() error { return e.error }

func badRequest(err error) error { return caddyhttp.Error(http.StatusBadRequest, err) }
