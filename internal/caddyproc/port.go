package caddyproc

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken below those that systems give to outgoing connections (32768
// and up on Linux, 49152 on others): a connection might have such a port by the
// time the server wants it.
const firstPort, endOfPorts = 10_000, 32_000

var given struct {
	sync.Mutex
	ports map[int]bool
}

// FreePort returns a port that nobody listens on, another one each time.
func FreePort(t testing.TB) string {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	for range 1000 {
		//nolint:gosec // nobody has to be unable to guess it
		port := firstPort + rand.IntN(endOfPorts-firstPort)
		if given.ports[port] {
			continue
		}
		number := strconv.Itoa(port)
		l, err := net.Listen("tcp", ":"+number)
		if err != nil {
			continue
		}
		l.Close()
		given.ports[port] = true
		return number
	}
	t.Fatal("no port is free")
	return ""
}
