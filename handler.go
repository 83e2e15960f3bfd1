package ssechat

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/bodytime"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/origin"
)

// endpoint answers the requests for one path.
type endpoint struct {
	methods []string
	serve   func(http.ResponseWriter, *http.Request) error
	// rejected counts the requests that were refused; nil if they are not counted.
	rejected *hub.Tally
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	to, ok := h.endpoints[r.URL.Path]
	if !ok {
		return next.ServeHTTP(w, r)
	}
	if r.ProtoMajor == 2 && h.life.stopping.Load() != nil {
		// makes the server send GOAWAY; it has sent none on a connection whose handshake
		// ended after its shutdown
		w.Header().Set("Connection", "close")
	}
	err := to.answer(w, r, &h.origins)
	if err == nil {
		return nil
	}
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok {
		handlerErr = caddyhttp.Error(http.StatusInternalServerError, err)
	}
	bodytime.LeaveUnread(w, r)
	if to.rejected != nil {
		to.rejected.Add(rejectReason(handlerErr))
	}
	return answerError(w, r, handlerErr, h.logger)
}

// answer answers a request, after CORS, its method and its origin were checked.
func (to *endpoint) answer(w http.ResponseWriter, r *http.Request, origins *origin.Rule) error {
	if origins.AnswerCORS(w, r) {
		return nil
	}
	if !slices.Contains(to.methods, r.Method) {
		allow := to.methods
		if origins.TrustsOthers() {
			allow = append(slices.Clone(allow), http.MethodOptions)
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return caddyhttp.Error(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed here", r.Method))
	}
	if err := origins.Check(r); err != nil {
		return caddyhttp.Error(http.StatusForbidden, err)
	}
	return to.serve(w, r)
}
