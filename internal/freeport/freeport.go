// Package freeport finds ports for the servers of tests and benchmarks.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken below those that systems give to outgoing connections (32768
// and up on Linux, 49152 on others): a connection might have such a port by the
// time the server wants it.
const first, end = 10_000, 32_000

var given struct {
	sync.Mutex
	ports map[int]bool
}

// Addr returns an address of the loopback interface with such a port.
func Addr() (string, error) {
	port, err := Find()
	return net.JoinHostPort("127.0.0.1", port), err
}

// Find returns a TCP port that nobody listens on, another one each time. It
// may be called concurrently.
func Find() (string, error) {
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	for range 1000 {
		//nolint:gosec // nobody has to be unable to guess it
		port := first + rand.IntN(end-first)
		if given.ports[port] {
			continue
		}
		number := strconv.Itoa(port)
		l, err := net.Listen("tcp", ":"+number)
		if err != nil {
			continue
		}
		_ = l.Close()
		given.ports[port] = true
		return number, nil
	}
	return "", errors.New("no port is free")
}
