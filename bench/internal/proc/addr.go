package proc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Addresses are taken below the ports that Linux gives to outgoing
// connections: one of those might have the port by the time a server wants it.
const firstPort, endOfPorts = 10_000, 32_000

// FreeAddr returns an address of the loopback interface on which nobody
// listens.
func FreeAddr() (string, error) {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(endOfPorts-firstPort))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr, nil
		}
	}
	return "", errors.New("no port is free")
}
