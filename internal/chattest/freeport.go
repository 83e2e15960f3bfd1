package chattest

import (
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/freeport"
)

// FreePort returns a port that nobody listens on, another one each time.
func FreePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// FreeAddr returns an address of the loopback interface with such a port.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return "127.0.0.1:" + FreePort(t)
}
