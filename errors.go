package ssechat

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/approval"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// storeTimeout is how long a publisher waits for the store.
	storeTimeout = 10 * time.Second
	// storeRetryAfter is the Retry-After when the store is down.
	storeRetryAfter = 2 * time.Second
)

// ownError marks the errors that this handler returns, among those of other
// handlers.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

// answerError returns an error to Caddy, so that its routes, metrics and logs see
// it. Where no error route writes a body, [errorRoute] answers {"error":"…"}.
func answerError(w http.ResponseWriter, r *http.Request, err caddyhttp.HandlerError, log *zap.Logger) error {
	if later, ok := errors.AsType[*laterError](err.Err); ok {
		w.Header().Set("Retry-After", later.seconds)
	}
	err.Err = &ownError{err.Err}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Errors == nil {
		// without error routes nobody else writes a body; the server logs the error
		writeError(w, err)
		return err
	}
	logError(err, log)
	return err
}

// logError logs errors that are the server's fault, because Caddy logs an error
// that a route has answered at debug level only.
func logError(err caddyhttp.HandlerError, log *zap.Logger) {
	_, unstored := errors.AsType[*unstoredError](err.Err)
	if err.StatusCode >= http.StatusInternalServerError && !unstored {
		log.Error("request refused", zap.Int("status", err.StatusCode), zap.String("id", err.ID), zap.Error(err.Err))
	}
}

// heldWriter holds back the status of an answer until its first body byte, so that
// errorRoute can tell whether another route has written a body.
type heldWriter struct {
	*caddyhttp.ResponseWriterWrapper
	status int
	sent   bool
}

func (w *heldWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *heldWriter) send() {
	if w.sent {
		return
	}
	w.sent = true
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.ResponseWriterWrapper.WriteHeader(w.status)
}

func (w *heldWriter) Write(p []byte) (int, error) {
	w.send()
	return w.ResponseWriterWrapper.Write(p)
}

func (w *heldWriter) ReadFrom(r io.Reader) (int64, error) {
	w.send()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError prevents a flush from sending a status that is held back.
func (w *heldWriter) FlushError() error {
	if !w.sent {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// writeError answers {"error":"…"}.
func writeError(w http.ResponseWriter, err caddyhttp.HandlerError) {
	body := append(store.AppendString([]byte(`{"error":`), err.Err.Error()), '}')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(err.StatusCode)
	_, _ = w.Write(body)
}

// answerRefusal passes a site's refusal on to the publisher. It is an answer, and no error
// for error routes.
func answerRefusal(w http.ResponseWriter, refusal *approval.RefusalError) error {
	if refusal.RetryAfter != "" {
		w.Header().Set("Retry-After", refusal.RetryAfter)
	}
	return writeAnswer(w, refusal.Status, refusal.ContentType, refusal.Body)
}

// isRefusal reports whether an error means that something may not be stored, rather than
// that it cannot be.
func isRefusal(err error) bool {
	_, bySite := errors.AsType[*approval.RefusalError](err)
	return bySite || store.IsRefusal(err)
}

// writeAnswer sends a complete answer. contentType may be empty.
func writeAnswer(w http.ResponseWriter, status int, contentType string, body []byte) error {
	header := w.Header()
	if contentType != "" {
		header["Content-Type"] = []string{contentType}
	}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// retryAfter returns an error with a Retry-After of wait, rounded up to seconds.
func retryAfter(status int, wait time.Duration, err error) error {
	return caddyhttp.Error(status, &laterError{err, strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))})
}

// laterError is an error with a value for Retry-After.
type laterError struct {
	error
	seconds string
}

func (e *laterError) Unwrap() error { return e.error }

func badRequest(err error) error { return caddyhttp.Error(http.StatusBadRequest, err) }

// storeError is the answer when it is unknown whether a message was stored.
func storeError(err error) error {
	return retryAfter(http.StatusServiceUnavailable, storeRetryAfter,
		&unstoredError{fmt.Errorf("storing the message: %w; repeat it with the same nonce", err)})
}

// unstoredError is an error of the store. It is not logged for each message,
// because reportHealth logs once when writes begin to fail and once when they
// succeed again. So it is for Caddy's storage, in push.go.
type unstoredError struct{ error }

func (e *unstoredError) Unwrap() error { return e.error }

// refuseReason returns the reason, for metrics, why a hub has refused a stream.
func refuseReason(err error) string {
	switch {
	case errors.Is(err, hub.ErrKicked):
		return hub.EndKicked
	case errors.Is(err, hub.ErrClientFull):
		return hub.RefuseClientFull
	default:
		return hub.RefuseFull
	}
}
