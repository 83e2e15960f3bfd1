package ssechat

import (
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// contain keeps a panic from ending the whole of Caddy, as net/http does for
// handlers: it is logged, and then is called. It must be deferred directly.
func contain(doing string, then func()) {
	if reason := recover(); reason != nil {
		caddy.Log().Error("panic", zap.String("doing", doing), zap.Any("panic", reason), zap.StackSkip("stack", 2))
		then()
	}
}
