package ssechat

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// inUse reports whether a socket listens on an address already. Caddy would
// notice that with a unix socket only if it could not remove it, and not at all
// where several processes can share a port (SO_REUSEPORT), so that each gets
// some of the connections.
func inUse(addr caddy.NetworkAddress) bool {
	switch {
	case addr.IsFdNetwork():
		return false
	case addr.IsUnixNetwork():
		path, _, _ := strings.Cut(addr.Host, "|") // permissions follow
		conn, err := net.DialTimeout(addr.Network, path, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	for _, one := range addr.Expand() {
		if one.StartPort == 0 {
			continue
		}
		// without SO_REUSEPORT
		listener, err := new(net.ListenConfig).Listen(context.Background(), one.Network, one.JoinHostPort(0))
		if err == nil {
			_ = listener.Close()
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return true
		}
	}
	return false
}

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
		if addr, err := caddy.ParseNetworkAddress(listen); err == nil && inUse(addr) {
			shared = append(shared, listen)
		}
	}
	if shared == nil {
		return
	}
	// validating a configuration beside the process that runs it is no fault
	_ = h.events.app.On("started", eventFunc(func() {
		h.logger.Warn("another process listens on the same address, so each gets some of the connections; with a store in memory neither knows of the messages of the other",
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
