//go:build !linux

// Package socket writes to connections without a goroutine for each. It does so on
// Linux only; here all calls fail or do nothing.
package socket

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// Supported is whether this system has what the package needs.
const Supported = false

// Socket is the connection of a stream.
type Socket struct{}

// Takes reports whether a connection is one that [New] can take: none is.
func Takes(net.Conn) bool { return false }

// New returns [errors.ErrUnsupported].
func New(net.Conn) (Socket, error) { return Socket{}, errors.ErrUnsupported }

// Unacked reports that nothing is owed.
func Unacked(net.Conn) (since time.Duration, owed bool) { return 0, false }

// Unacked reports that nothing is owed.
func (*Socket) Unacked() (since time.Duration, owed bool) { return 0, false }

// Own does nothing.
func (*Socket) Own(net.Conn) {}

// Abort does nothing.
func (*Socket) Abort() {}

// Touch does nothing.
func (*Socket) Touch() {}

// Write returns [errors.ErrUnsupported].
func (*Socket) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

// MayBlock reports false.
func (*Socket) MayBlock() bool { return false }

// Read returns [errors.ErrUnsupported].
func (*Socket) Read() error { return errors.ErrUnsupported }

// Close does nothing.
func (*Socket) Close() {}

// Drop does nothing.
func (*Socket) Drop() {}

// Release does nothing.
func (*Socket) Release() {}

// Waiter is notified of events of a socket; here never.
type Waiter interface {
	Writable()
	Readable()
	Gone()
}

// Poller watches no sockets.
type Poller struct{}

// NewPoller returns [errors.ErrUnsupported].
func NewPoller() (*Poller, error) { return nil, errors.ErrUnsupported }

// Add returns [errors.ErrUnsupported].
func (*Poller) Add(*Socket, Waiter) error { return errors.ErrUnsupported }

// Remove does nothing.
func (*Poller) Remove(*Socket) {}

// Close does nothing.
func (*Poller) Close() {}

// Outlet tells nothing.
type Outlet struct{}

// Open returns [errors.ErrUnsupported].
func (*Outlet) Open(*tls.Conn) error { return errors.ErrUnsupported }

// Room returns 0.
func (*Outlet) Room(int) int { return 0 }

// Forget does nothing.
func (*Outlet) Forget() {}

// Await does nothing.
func (*Outlet) Await() {}
