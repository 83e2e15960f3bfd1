package ssechat

import (
	"fmt"
	"net/http"

	"github.com/rs/cors"

	"github.com/sse-chat/caddy-sse-chat/internal/origin"
)

// protect sets up CORS and the protection against other origins.
func (h *Handler) protect() error {
	h.sameOrigin = http.NewCrossOriginProtection()
	if len(h.Origins) == 0 {
		return nil
	}
	for _, s := range h.Origins {
		if err := h.sameOrigin.AddTrustedOrigin(s); err != nil {
			return err
		}
	}
	h.cors = cors.New(cors.Options{
		AllowedOrigins: h.Origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		// any, because tracing, htmx and others add headers of their own, and a
		// trusted origin may send anything anyway
		AllowedHeaders:   []string{"*"},
		ExposedHeaders:   []string{"Etag", "Retry-After"},
		AllowCredentials: true,
		MaxAge:           600,
	})
	return nil
}

// crossOriginError is the error for a request from an untrusted origin.
type crossOriginError struct{ error }

func (e *crossOriginError) Unwrap() error { return e.error }

func (h *Handler) checkOrigins() error {
	for _, s := range h.Origins {
		if err := origin.Check(s); err != nil {
			return fmt.Errorf("origins: %q: %w", s, err)
		}
	}
	return nil
}
