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

// authorRule says as whom requests read and write. It is safe for concurrent use.
type authorRule struct {
	option string // the option name, which may have placeholders; empty leaves names to clients
	logger *zap.Logger
	warned warnedMisfits
}

// isSet reports whether the configuration names the authors.
func (rule *authorRule) isSet() bool { return rule.option != "" }

// name returns the author that the configuration gives a request, and
// whether it gives any. An empty name is anonymous.
//
// [wire.FitName] turns a login that cannot be a name into one: its owner can choose
// no other, and would otherwise get 400 for each request.
func (rule *authorRule) name(r *http.Request) (name string, given bool) {
	if !rule.isSet() {
		return "", false
	}
	if !strings.Contains(rule.option, "{") {
		return rule.option, true // checked by Provision
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	value := repl.ReplaceAll(rule.option, "")
	name, misfit := wire.FitName(value)
	if rule.warned.isFirst(misfit) {
		rule.logger.Warn("a configured name is "+string(misfit)+"; further ones are not logged",
			zap.String("option", "name "+rule.option),
			zap.String("value", fmt.Sprintf("%.80q", value)),
			zap.String("name", name),
			zap.NamedError("rule", wire.CheckName(value)))
	}
	return name, true
}

// warnedMisfits is the set of misfits that were logged. It is safe for concurrent
// use.
type warnedMisfits struct {
	mu     sync.Mutex // guards logged
	logged map[wire.Misfit]bool
}

// isFirst reports whether a misfit is the first of its kind.
func (m *warnedMisfits) isFirst(misfit wire.Misfit) bool {
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

// author is who writes.
type author struct {
	name  string // that the configuration gives; "" if none
	named bool   // whether the configuration gives names
	owner store.Owner
	tag   string // of the author's key; "" if there is none
}

// author returns who sends a request: the author that the configuration names,
// otherwise the holder of the author's key, otherwise nobody.
func (rule *authorRule) author(r *http.Request) (a author, err error) {
	hash, err := wire.AuthorKey(r.Header["Authorization"])
	if err != nil {
		return a, badRequest(err)
	}
	if hash != "" {
		a.owner = store.OwnerByKey(hash)
		a.tag = a.owner.Tag()
	}
	if a.name, a.named = rule.name(r); a.name != "" {
		a.owner = store.OwnerByName(a.name)
	}
	return a, nil
}

// sign sets the author of drafts.
func (a *author) sign(drafts []store.Draft) {
	for i := range drafts {
		draft := &drafts[i]
		draft.Owner, draft.Author = a.owner, a.tag
		if a.named {
			draft.Name = a.name
		}
	}
}

// reader returns the identity of a reader, and the name that the
// configuration gives it. What a client says of itself is not verified and used for
// presence only.
func (rule *authorRule) reader(r *http.Request, query url.Values) (who presence.Identity, given string, err error) {
	tag := query.Get("author")
	if query.Has("author") && !authorTag.MatchString(tag) {
		return presence.Nobody, "", badRequest(fmt.Errorf("author: %.40q is not an author's tag: 11 of A-Z, a-z, 0-9, _ and -", tag))
	}
	name, configured := rule.name(r)
	switch {
	case configured && name != "":
		return presence.Identity{Name: name, Person: presence.PersonByName(name)}, name, nil
	case !configured:
		name = query.Get("name")
		if err := wire.CheckName(name); err != nil {
			return presence.Nobody, "", badRequest(err)
		}
	}
	// copies, because they would keep the request alive
	return presence.Identity{Name: strings.Clone(name), Person: strings.Clone(tag)}, "", nil
}

// authorTag is the form of the tag that the page derives from its author's key: the
// first 11 characters of base64url(SHA-256("author " + key)).
var authorTag = regexp.MustCompile(`^[A-Za-z0-9_-]{11}$`)
