package ssechat

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// answerError lets the site's error routes answer an error, as Caddy would if
// it were returned. Where they have nothing to say, and Caddy would send no
// body, the answer is {"error":"…"}.
func (h *Handler) answerError(w http.ResponseWriter, r *http.Request, err caddyhttp.HandlerError) error {
	h.logError(err)
	if later, ok := errors.AsType[*laterError](err.Err); ok {
		w.Header().Set("Retry-After", later.seconds)
	}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Errors == nil || len(server.Errors.Routes) == 0 {
		return writeError(w, err)
	}
	restoreRequest(r)
	r = server.Errors.WithError(r, err)
	held := &heldWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	none := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(err.StatusCode)
		return nil
	})
	if routeErr := server.Errors.Routes.Compile(none).ServeHTTP(held, r); routeErr != nil && !held.sent {
		h.logger.Error("error handling handler error", zap.Error(routeErr), zap.NamedError("first_error", err))
		return writeError(w, err)
	}
	if held.sent {
		return nil
	}
	if held.status != 0 {
		err.StatusCode = held.status
	}
	return writeError(w, err)
}

// logError logs what is the server's fault, and the rest for those who look.
func (h *Handler) logError(err caddyhttp.HandlerError) {
	level := zapcore.DebugLevel
	if err.StatusCode >= http.StatusInternalServerError {
		level = zapcore.ErrorLevel
	}
	if c := h.logger.Check(level, "request refused"); c != nil {
		c.Write(zap.Int("status", err.StatusCode), zap.String("id", err.ID), zap.Error(err.Err))
	}
}

// restoreRequest gives a rewritten request its first form again, in which
// error routes expect it.
func restoreRequest(r *http.Request) {
	first, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return
	}
	r.Method, r.RemoteAddr, r.RequestURI = first.Method, first.RemoteAddr, first.RequestURI
	url := *first.URL
	r.URL = &url
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
func writeError(w http.ResponseWriter, err caddyhttp.HandlerError) error {
	message := http.StatusText(err.StatusCode)
	if err.Err != nil {
		message = err.Err.Error()
	}
	body := append(store.AppendString([]byte(`{"error":`), message), '}')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(err.StatusCode)
	_, _ = w.Write(body)
	return nil
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
