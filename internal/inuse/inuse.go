// Package inuse tells whether an address has a listener already.
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

// Addr reports whether a socket listens on an address already. Caddy would
// notice that with a unix socket only if it could not remove it, and not at all
// where several processes can share a port (SO_REUSEPORT), so that each gets
// some of the connections.
func Addr(addr caddy.NetworkAddress) bool {
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
