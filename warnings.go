package ssechat

import (
	"context"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/inuse"
)

// warnOfSharedPorts has a warning logged once the configuration runs, if
// another process listens on an address of the server. It looks only while this
// process has no configuration, because the addresses in use may be its own
// later.
func (h *Handler) warnOfSharedPorts(server *caddyhttp.Server) {
	if caddy.ActiveContext().Context != nil || h.events.app == nil {
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
	// validating a configuration beside the process that runs it is no fault
	_ = h.events.app.On("started", eventFunc(func() {
		h.logger.Warn("another process listens on the same address, so each gets some of the connections; with the store memory, neither sees the other's messages",
			zap.Strings("addresses", shared), zap.String("hub", h.Hub))
	}))
}

// eventFunc handles events of the events app.
type eventFunc func()

// Handle implements caddyevents.Handler.
func (f eventFunc) Handle(context.Context, caddy.Event) error {
	f()
	return nil
}
