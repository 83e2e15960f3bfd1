// Package socket writes to connections without a goroutine for each: it takes them
// over from package net, and one [Poller] watches all of them.
package socket

import (
	"crypto/tls"
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supported is whether this system has what the package needs.
const Supported = true

// unsentLimit is how many unsent bytes the kernel holds for a peer. Without a
// limit, a peer that does not read costs megabytes.
const unsentLimit = 128 << 10

// Socket is the connection of a stream. One goroutine at a time may call its
// methods, except for those that say otherwise.
type Socket struct {
	fd   int32
	slot int32     // index in the poller; -1 if none
	tls  *tls.Conn // owns fd; nil without TLS
	room room      // with TLS only
}

// Takes reports whether [New] can take a connection: one of TCP, with or without
// TLS, or of a Unix socket, with nothing else wrapped around it.
func Takes(conn net.Conn) bool {
	switch conn := conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	case *tls.Conn:
		_, ok := conn.NetConn().(*net.TCPConn)
		return ok
	default:
		return false
	}
}

// New returns a socket for a connection. Both can be used until Own or Release is
// called, one of which the caller must call. An error means that the connection is
// unchanged.
func New(conn net.Conn) (Socket, error) {
	s := Socket{slot: -1}
	if s.tls, _ = conn.(*tls.Conn); s.tls != nil {
		conn = s.tls.NetConn()
	}
	control, ok := conn.(syscall.Conn)
	if !ok {
		return s, fmt.Errorf("%T has no socket", conn)
	}
	raw, err := control.SyscallConn()
	if err != nil {
		return s, err
	}
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		s.fd = int32(fd)
		if s.tls == nil {
			s.fd, dupErr = dup(fd)
		}
	}); err != nil {
		return s, err
	}
	if dupErr != nil {
		return s, fmt.Errorf("duplicating a socket: %w", dupErr)
	}
	// Unix sockets ignore this
	_ = unix.SetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	return s, nil
}

// dup duplicates a descriptor, so that package net can free what it keeps for each
// connection.
func dup(fd uintptr) (int32, error) {
	own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	return int32(own), err
}

// Own closes conn without closing the connection, which from now on belongs to the
// socket alone.
func (s *Socket) Own(conn net.Conn) {
	if s.tls == nil {
		_ = conn.Close() // the peer does not notice, because the duplicate is open
	}
}

// Release gives up the socket and leaves the connection to its previous owner.
func (s *Socket) Release() {
	if s.tls == nil {
		_ = unix.Close(int(s.fd))
	}
}

// MayBlock reports whether Write may wait for the peer; see [Socket.Write]. It may
// be called at any time.
func (s *Socket) MayBlock() bool { return s.tls != nil }

// Write writes what the socket takes at once and returns how many bytes that was.
// If it is less than all, [Waiter].Writable is called once there is room. After an
// error the socket can only be closed.
//
// A TLS record has to be written as a whole. If the kernel takes less of it than it
// promised, as when it is short of memory, Write waits until the rest is taken, or
// until Abort.
func (s *Socket) Write(p []byte) (n int, err error) {
	if s.tls != nil {
		return s.writeTLS(p)
	}
	for n < len(p) {
		m, errno := send(s.fd, p[n:])
		switch {
		case errno == 0:
			n += m // after a short write, the next call tells whether there is room
		case errno == unix.EAGAIN:
			return n, nil
		case errno != unix.EINTR:
			return n, errno
		}
	}
	return n, nil
}

// Touch reads a little of what Write needs, so that it is in the processor's cache
// then. It may be called at any time.
func (s *Socket) Touch() {
	if s.tls != nil {
		_ = s.tls.NetConn().RemoteAddr()
	}
}

// send is send(2). It bypasses the runtime's system call hooks, because the call
// does not block, and a handover to another thread would cost more.
func send(fd int32, p []byte) (n int, errno unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(r), errno
}

// Abort fails a Write or Read that blocks. It may be called at any time before
// Close.
func (s *Socket) Abort() {
	if s.tls != nil {
		_ = s.tls.NetConn().SetDeadline(time.Unix(1, 0))
	}
}

// Close closes the connection. The kernel still sends what was written. Close reads
// and discards input, because the kernel would answer unread input with a reset
// that overtakes what was written. The socket must be out of the poller.
func (s *Socket) Close() {
	if s.tls != nil {
		s.sayGoodbyeTLS()
	}
	_ = unix.Shutdown(int(s.fd), unix.SHUT_WR)
	var waste [512]byte
	for range 64 { // limits a peer that keeps sending
		if n, err := unix.Read(int(s.fd), waste[:]); n <= 0 || err != nil {
			break
		}
	}
	s.Drop()
}

// Drop closes the connection of a peer that is gone. The socket must be out of the
// poller.
func (s *Socket) Drop() {
	if s.tls != nil {
		_ = s.tls.NetConn().Close()
	} else {
		_ = unix.Close(int(s.fd))
	}
}
