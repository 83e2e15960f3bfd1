package ssechat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// maxBatchLines is how many messages one request may publish.
	maxBatchLines = 1000
	batchType     = "application/x-ndjson"
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
	drafts, batch, err := h.readDrafts(w, r)
	if err != nil {
		return err
	}
	if err := h.setNames(r, drafts); err != nil {
		return err
	}
	receipts, err := h.publish(r, room, drafts)
	if err != nil {
		return err
	}
	var answer []byte
	for _, receipt := range receipts {
		answer = append(answer, receipt.Message.JSON()...)
		if batch {
			answer = append(answer, '\n')
		}
	}
	contentType := "application/json"
	if batch {
		contentType = batchType
	}
	return writeAnswer(w, contentType, answer)
}

// publish stores drafts for a client that may publish now.
func (h *Handler) publish(r *http.Request, room string, drafts []store.Draft) ([]store.Receipt, error) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if h.limiter != nil {
		fresh, err := h.countFresh(ctx, room, drafts)
		if err != nil {
			return nil, storeError(err)
		}
		if wait := h.limiter.take(clientIP(r), fresh, time.Now()); wait > 0 {
			return nil, retryAfter(http.StatusTooManyRequests, wait,
				fmt.Errorf("too many messages: %d may be sent within %s", h.Rate.Messages, time.Duration(h.Rate.Window)))
		}
	}
	receipts, err := h.broker.publish(ctx, room, drafts...)
	if err != nil {
		return nil, storeError(err)
	}
	return receipts, nil
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
		first, err := h.broker.store.Find(ctx, room, draft.Nonce)
		if err != nil {
			return 0, err
		}
		if first == nil {
			fresh++
		}
	}
	return fresh, nil
}

// storeError is the answer when it is unknown whether a message was stored.
func storeError(err error) error {
	return retryAfter(http.StatusServiceUnavailable, storeRetryAfter,
		fmt.Errorf("storing the message: %w; repeat it with the same nonce", err))
}

// readDrafts reads what the body of a request asks to publish.
func (h *Handler) readDrafts(w http.ResponseWriter, r *http.Request) (drafts []store.Draft, batch bool, err error) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	batch = mediaType == batchType
	limit := h.maxBody()
	if batch {
		limit = maxBatchLines * (int64(h.MaxText) + 512)
	}
	// only the server's own writer can be told to wait with the reset of a
	// connection until the client has read that it sent too much
	inner, _ := innermost(w)
	done := openBodies.begin(w)
	body, err := io.ReadAll(http.MaxBytesReader(inner, r.Body, limit))
	done()
	if err != nil {
		return nil, batch, bodyError(err)
	}
	key := r.Header.Get("Idempotency-Key")
	if batch {
		if key != "" {
			return nil, batch, badRequest(errors.New("a batch takes no Idempotency-Key: give each message its nonce"))
		}
		drafts, err = h.decodeBatch(body)
	} else {
		var draft store.Draft
		if draft, err = h.decode(body); err == nil {
			err = setNonce(&draft, key)
		}
		drafts = []store.Draft{draft}
	}
	switch {
	case errors.Is(err, errTooLong):
		return nil, batch, caddyhttp.Error(http.StatusRequestEntityTooLarge, err)
	case err != nil:
		return nil, batch, badRequest(err)
	}
	return drafts, batch, nil
}

// maxBody is how large the body of one message may be: JSON may write each
// byte of the text as six.
func (h *Handler) maxBody() int64 { return 6*int64(h.MaxText) + 4<<10 }

// decode reads one message. Its author counts only if the configuration gives
// none.
func (h *Handler) decode(body []byte) (store.Draft, error) {
	draft, err := decodeMessage(body, h.MaxText)
	if err == nil && h.Name == "" {
		err = checkName(draft.Name)
	}
	return draft, err
}

// decodeBatch reads one message a line, all or none.
func (h *Handler) decodeBatch(body []byte) ([]store.Draft, error) {
	var drafts []store.Draft
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		if len(drafts) == maxBatchLines {
			return nil, fmt.Errorf("line %d: a batch has at most %d messages", number, maxBatchLines)
		}
		draft, err := h.decode(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err) // always a 400
		}
		drafts = append(drafts, draft)
	}
	if drafts == nil {
		return nil, errors.New("the batch has no message")
	}
	return drafts, nil
}

// setNonce takes the Idempotency-Key for the nonce of a message.
func setNonce(draft *store.Draft, key string) error {
	if key == "" {
		return nil
	}
	if err := checkNonce(key); err != nil {
		return fmt.Errorf("Idempotency-Key: %w", err)
	}
	if draft.Nonce != "" && draft.Nonce != key {
		return fmt.Errorf("the nonce %q and the Idempotency-Key %q differ", draft.Nonce, key)
	}
	draft.Nonce = key
	return nil
}

// setNames sets the authors if the configuration does.
func (h *Handler) setNames(r *http.Request, drafts []store.Draft) error {
	name, given, err := h.configuredName(r)
	if err != nil || !given {
		return err
	}
	for i := range drafts {
		drafts[i].Name = name
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

func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}
