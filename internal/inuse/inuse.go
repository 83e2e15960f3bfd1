// Package inuse reports whether an address already has a listener.
package inuse

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Addr reports whether a socket already listens on an address. Caddy would notice
// that of a Unix socket only if it could not remove it, and not at all where
// several processes can share a port (SO_REUSEPORT), so that each gets some of the
// connections. It may wait up to a second for a Unix socket.
func Addr(addr caddy.NetworkAddress) bool {
	switch {
	case addr.IsFdNetwork():
		return false
	case addr.IsUnixNetwork():
		path, _, _ := strings.Cut(addr.Host, "|") // permissions may follow
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
		// Go's own listener does not set SO_REUSEPORT
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
