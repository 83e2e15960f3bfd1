package ssechat

import (
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What is known of a request here goes into its line of the access log.

func logRooms(r *http.Request, rooms ...string) {
	addLogFields(r, zap.String("room", strings.Join(rooms, ",")))
}

// logStream logs a stream that has ended.
func logStream(r *http.Request, s *subscriber, reason string) {
	addLogFields(r, zap.Uint64("sse_events", s.messages), zap.Uint64("sse_bytes", s.sent), zap.String("sse_reason", reason))
}

// logNoStream logs why a stream was not even begun.
func logNoStream(r *http.Request, reason string) {
	addLogFields(r, zap.String("sse_reason", reason))
}

func addLogFields(r *http.Request, fields ...zap.Field) {
	extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if !ok {
		return
	}
	for _, field := range fields {
		extra.Add(field)
	}
}
