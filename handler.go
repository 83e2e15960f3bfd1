package ssechat

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/bodies"
)

// endpoint answers the requests for one path.
type endpoint struct {
	methods []string
	serve   func(http.ResponseWriter, *http.Request) error
}

// routes returns the endpoints by path.
func (h *Handler) routes() map[string]endpoint {
	routes := map[string]endpoint{
		h.Subscribe: {[]string{http.MethodGet, http.MethodHead}, h.serveSubscribe},
		h.Update:    {[]string{http.MethodPost}, h.serveUpdate},
	}
	if h.History != historyOff {
		routes[h.History] = endpoint{[]string{http.MethodGet}, h.serveHistory}
	}
	return routes
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	to, ok := h.endpoints[r.URL.Path]
	if !ok {
		return next.ServeHTTP(w, r)
	}
	err := h.serve(to, w, r)
	if err == nil {
		return nil
	}
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	if !ok {
		handlerErr = caddyhttp.Error(http.StatusInternalServerError, err)
	}
	bodies.LeaveUnread(w, r)
	if r.URL.Path == h.Update {
		h.hub.Counts.Rejected.Add(rejectReason(handlerErr))
	}
	return h.answerError(w, r, handlerErr)
}

// serve answers a request to an endpoint, after CORS, its method and its origin
// were checked.
func (h *Handler) serve(to endpoint, w http.ResponseWriter, r *http.Request) error {
	if h.cors != nil {
		h.cors.HandlerFunc(w, r)
		if isPreflight(r) {
			return nil
		}
	}
	if !slices.Contains(to.methods, r.Method) {
		allow := to.methods
		if h.cors != nil {
			allow = append(slices.Clone(allow), http.MethodOptions)
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return caddyhttp.Error(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed here", r.Method))
	}
	if err := h.sameOrigin.Check(r); err != nil {
		return caddyhttp.Error(http.StatusForbidden, &crossOriginError{err})
	}
	return to.serve(w, r)
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}
