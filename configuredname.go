package ssechat

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

// configuredName returns the author that the configuration gives a request,
// and whether it gives any. An empty one is anonymous.
//
// A login that cannot be a name is made one by [wire.FitName]: who has it can
// choose no other, and would otherwise get 400 for each request.
func (h *Handler) configuredName(r *http.Request) (name string, given bool) {
	if h.Name == "" {
		return "", false
	}
	if !strings.Contains(h.Name, "{") {
		return h.Name, true // was checked at the start
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	value := repl.ReplaceAll(h.Name, "")
	name, misfit := wire.FitName(value)
	if h.misfits.isFirst(misfit) {
		h.logger.Warn("a name that the configuration gives is "+string(misfit)+"; others like it are not logged",
			zap.String("option", "name "+h.Name),
			zap.String("value", fmt.Sprintf("%.80q", value)),
			zap.String("name", name),
			zap.NamedError("rule", checkName(value)))
	}
	return name, true
}

// misfits is which kinds of misfits were logged. It is safe for concurrent use.
type misfits struct {
	mu     sync.Mutex // guards logged
	logged map[wire.Misfit]bool
}

// isFirst reports whether a misfit is the first of its kind.
func (m *misfits) isFirst(misfit wire.Misfit) bool {
	if misfit == "" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logged[misfit] {
		return false
	}
	if m.logged == nil {
		m.logged = make(map[wire.Misfit]bool)
	}
	m.logged[misfit] = true
	return true
}
