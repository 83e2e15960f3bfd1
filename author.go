package ssechat

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
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
		h.logger.Warn("a configured name is "+string(misfit)+"; further ones are not logged",
			zap.String("option", "name "+h.Name),
			zap.String("value", fmt.Sprintf("%.80q", value)),
			zap.String("name", name),
			zap.NamedError("rule", wire.CheckName(value)))
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

// setNames sets the authors if the configuration does.
func (h *Handler) setNames(r *http.Request, drafts []store.Draft) {
	name, given := h.configuredName(r)
	for i := range drafts {
		if given {
			drafts[i].Name = name
		}
	}
}

// setOwners tells whose the nonces of drafts are: those of the author that the
// configuration names, else of who has the author's key, else of nobody in
// particular. The names of the drafts have been set before.
func (h *Handler) setOwners(r *http.Request, drafts []store.Draft) error {
	hash, err := wire.AuthorKey(r.Header["Authorization"])
	if err != nil {
		return badRequest(err)
	}
	owner := ""
	switch name := drafts[0].Name; {
	case h.Name != "" && name != "":
		owner = "name:" + name
	case hash != "":
		owner = "key:" + hash
	}
	for i := range drafts {
		drafts[i].Owner = owner
	}
	return nil
}

// readerIdentity returns as whom a reader is present, and the name that the
// configuration gives it. What a client says of itself is not verified, and used
// for presence alone.
func (h *Handler) readerIdentity(r *http.Request, query url.Values) (who presence.Identity, given string, err error) {
	tag := query.Get("author")
	if query.Has("author") && !authorTag.MatchString(tag) {
		return presence.Nobody, "", badRequest(fmt.Errorf("author: %.40q is not an author's tag: 11 of A-Z, a-z, 0-9, _ and -", tag))
	}
	name, configured := h.configuredName(r)
	switch {
	case configured && name != "":
		return presence.Identity{Name: name, Person: presence.PersonByName(name)}, name, nil
	case !configured:
		name = query.Get("name")
		if err := wire.CheckName(name); err != nil {
			return presence.Nobody, "", badRequest(err)
		}
	}
	// copies, because they are pieces of a request that they outlive
	return presence.Identity{Name: strings.Clone(name), Person: strings.Clone(tag)}, "", nil
}

// authorTag is what a page makes of its author's key: the first 11 characters
// of base64url(SHA-256("author " + key)).
var authorTag = regexp.MustCompile(`^[A-Za-z0-9_-]{11}$`)
