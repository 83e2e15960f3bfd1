package ssechat

import (
	"fmt"
	"net/http"

	"github.com/rs/cors"

	"github.com/sse-chat/caddy-sse-chat/internal/origin"
)

// protect sets up what pages of other origins may do.
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
		// whatever is asked for: tracing, htmx and others add headers of their
		// own, and an origin that is listed may send anything anyway
		AllowedHeaders:   []string{"*"},
		ExposedHeaders:   []string{"Etag", "Retry-After"},
		AllowCredentials: true,
		MaxAge:           600,
	})
	return nil
}

// crossOriginError is why a page of another origin may not do something.
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
