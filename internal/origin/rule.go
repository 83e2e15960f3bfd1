package origin

import (
	"fmt"
	"net/http"

	"github.com/rs/cors"
)

// Rule is what pages of other origins may do. Its methods may be called by several
// goroutines at the same time.
type Rule struct {
	sameOrigin *http.CrossOriginProtection
	cors       *cors.Cors // nil if no other origin is trusted
}

// NewRule returns the rule that trusts some origins, which must have been checked with
// [CheckAll], with those methods.
func NewRule(trusted, methods []string) (Rule, error) {
	rule := Rule{sameOrigin: http.NewCrossOriginProtection()}
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
		AllowedMethods: methods,
		// any, because tracing, htmx and others add headers of their own, and a
		// trusted origin may send anything anyway
		AllowedHeaders:   []string{"*"},
		ExposedHeaders:   []string{"Etag", "Retry-After"},
		AllowCredentials: true,
		MaxAge:           600,
	})
	return rule, nil
}

// TrustsOthers reports whether any other origin is trusted.
func (rule *Rule) TrustsOthers() bool { return rule.cors != nil }

// AnswerCORS adds the CORS header fields to an answer. It reports true if that was
// the answer to a preflight.
func (rule *Rule) AnswerCORS(w http.ResponseWriter, r *http.Request) bool {
	if rule.cors == nil {
		return false
	}
	rule.cors.HandlerFunc(w, r)
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// Check returns a [*UntrustedError] for a request from an untrusted origin.
func (rule *Rule) Check(r *http.Request) error {
	if err := rule.sameOrigin.Check(r); err != nil {
		return &UntrustedError{err}
	}
	return nil
}

// UntrustedError is the error for a request from an untrusted origin.
type UntrustedError struct{ error }

func (e *UntrustedError) Unwrap() error { return e.error }

// CheckAll returns an error for the first origin that no browser sends.
func CheckAll(origins []string) error {
	for _, s := range origins {
		if err := Check(s); err != nil {
			return fmt.Errorf("origins: %q: %w", s, err)
		}
	}
	return nil
}
