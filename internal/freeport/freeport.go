// Package freeport finds free ports for the servers of tests and benchmarks.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range of ports. It is below the one for outgoing connections (32768 and up on
// Linux, 49152 on others), because a connection could take such a port before the
// server listens.
const first, end = 10_000, 32_000

// given is the ports that were given out already.
var given struct {
	sync.Mutex
	ports map[int]bool
}

// Addr returns a loopback address with a free TCP port; see [Find].
func Addr() (string, error) {
	port, err := Find()
	return net.JoinHostPort("127.0.0.1", port), err
}

// Find returns a TCP port that nobody listens on, a different one each time. It is
// safe for concurrent use.
func Find() (string, error) {
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	for range 1000 {
		//nolint:gosec // the port is no secret
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
