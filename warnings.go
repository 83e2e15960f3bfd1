package ssechat

import (
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/inuse"
)

// warnOfSharedPorts logs a warning, once the configuration runs, if another process
// listens on an address of the server. It checks only while this process has no
// configuration, because later the addresses in use may be its own.
func warnOfSharedPorts(server *caddyhttp.Server, hub string, events emitter, log *zap.Logger) {
	if caddy.ActiveContext().Context != nil || events.app == nil {
		return
	}
	var shared []string
	for _, listen := range server.Listen {
		if addr, err := caddy.ParseNetworkAddress(listen); err == nil && inuse.Addr(addr) {
			shared = append(shared, listen)
		}
	}
	if shared == nil {
		return
	}
	// not when a configuration is only validated, perhaps beside the process that
	// runs it
	events.onStart(func() {
		log.Warn("another process listens on the same address, so each gets some of the connections; with the store memory, neither sees the other's messages",
			zap.Strings("addresses", shared), zap.String("hub", hub))
	})
}
