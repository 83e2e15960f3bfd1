package ssechat

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// ownError tells the errors that this handler returns from those of others.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

// answerError returns an error to Caddy, whose routes, metrics and logs see it.
// Where no error route has a body for it, [errorRoute] answers {"error":"…"}.
func (h *Handler) answerError(w http.ResponseWriter, r *http.Request, err caddyhttp.HandlerError) error {
	if later, ok := errors.AsType[*laterError](err.Err); ok {
		w.Header().Set("Retry-After", later.seconds)
	}
	err.Err = &ownError{err.Err}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Errors == nil {
		// nobody else answers, and the server logs it
		writeError(w, err)
		return err
	}
	h.logError(err)
	return err
}

// logError logs what is the server's fault, because Caddy logs an error that a
// route has answered only for those who look.
func (h *Handler) logError(err caddyhttp.HandlerError) {
	_, unstored := errors.AsType[*unstoredError](err.Err)
	if err.StatusCode >= http.StatusInternalServerError && !unstored {
		h.logger.Error("request refused", zap.Int("status", err.StatusCode), zap.String("id", err.ID), zap.Error(err.Err))
	}
}

// heldWriter holds back the status of an answer until there is a body.
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

// FlushError keeps a flush from sending a status that is held back.
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

// writeAnswer sends a complete answer with status 200.
func writeAnswer(w http.ResponseWriter, contentType string, body []byte) error {
	header := w.Header()
	header["Content-Type"] = []string{contentType}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
	return nil
}
