// Package contain keeps a panic in a goroutine of the module from ending Caddy.
package contain

import (
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// Panic recovers from a panic, as net/http does for handlers: it logs the panic
// with its stack and then calls then. It must be deferred directly. doing names the
// failed work in the log.
func Panic(doing string, then func()) {
	if reason := recover(); reason != nil {
		caddy.Log().Error("panic", zap.String("doing", doing), zap.Any("panic", reason), zap.StackSkip("stack", 2))
		then()
	}
}
