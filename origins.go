package ssechat

import (
	"fmt"
	"net/http"

	"github.com/rs/cors"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/origin"
)

// originRule is what pages of other origins may do.
type originRule struct {
	sameOrigin *http.CrossOriginProtection
	cors       *cors.Cors // nil if no other origin is trusted
}

// newOriginRule returns the rule that trusts some origins, which must have been
// checked.
func newOriginRule(trusted []string) (originRule, error) {
	rule := originRule{sameOrigin: http.NewCrossOriginProtection()}
	if len(trusted) == 0 {
		return rule, nil
	}
	for _, s := range trusted {
		if err := rule.sameOrigin.AddTrustedOrigin(s); err != nil {
			return rule, err
		}
	}
	rule.cors = cors.New(cors.Options{
		AllowedOrigins: trusted,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		// any, because tracing, htmx and others add headers of their own, and a
		// trusted origin may send anything anyway
		AllowedHeaders:   []string{"*"},
		ExposedHeaders:   []string{"Etag", "Retry-After"},
		AllowCredentials: true,
		MaxAge:           600,
	})
	return rule, nil
}

// answerCORS adds the CORS header fields to an answer. It reports true if that was
// the answer to a preflight.
func (rule *originRule) answerCORS(w http.ResponseWriter, r *http.Request) bool {
	if rule.cors == nil {
		return false
	}
	rule.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// check returns an error with status 403 for a request from an untrusted origin.
func (rule *originRule) check(r *http.Request) error {
	if err := rule.sameOrigin.Check(r); err != nil {
		return caddyhttp.Error(http.StatusForbidden, &crossOriginError{err})
	}
	return nil
}

// crossOriginError is the error for a request from an untrusted origin.
type crossOriginError struct{ error }

func (e *crossOriginError) Unwrap() error { return e.error }

// checkOrigins returns an error for the first origin that no browser sends.
func checkOrigins(origins []string) error {
	for _, s := range origins {
		if err := origin.Check(s); err != nil {
			return fmt.Errorf("origins: %q: %w", s, err)
		}
	}
	return nil
}
