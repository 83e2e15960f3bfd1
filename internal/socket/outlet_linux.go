package socket

import (
	"crypto/tls"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Outlet tells how much a TLS connection takes without delay. Unlike a [Socket] it
// owns nothing: others read the connection, write to it and close it. One goroutine
// at a time may call its methods, except for those that say otherwise. It must be
// opened first.
type Outlet struct {
	room room
	n    int
	ask  func(fd uintptr) // calls room.take with n, which is also the result
	raw  syscall.RawConn
}

// Open attaches the outlet to a TCP connection. It fails if that is closed or not TCP.
func (o *Outlet) Open(conn *tls.Conn) error {
	tcp, ok := conn.NetConn().(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T is no TCP connection", conn.NetConn())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	o.raw = raw
	o.ask = func(fd uintptr) { o.n = o.room.take(int(fd), o.n) }
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	})
}

// Room returns how many of n bytes the connection takes now as one record: 0 if
// none. Whoever is told a number must write as much.
func (o *Outlet) Room(n int) int {
	o.n = min(n, maxRecord)
	if o.room.has(o.n) {
		return o.room.take(-1, o.n)
	}
	if o.raw.Control(o.ask) != nil {
		return 0 // closed
	}
	return o.n
}

// Forget discards what is known of the room, after others have written.
func (o *Outlet) Forget() { o.room = room{} }

// Await waits until the connection takes something, until its write deadline, or
// until it is closed. Other writes to the connection wait as well. It may run beside
// the other methods.
func (o *Outlet) Await() { _ = o.raw.Write(func(fd uintptr) bool { return isWritable(int(fd)) }) }
