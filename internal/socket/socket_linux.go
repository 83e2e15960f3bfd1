// Package socket writes to connections without a goroutine for each: it takes
// them out of the hands of package net, and one [Poller] watches all of them.
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

// Supported tells that this system has what the package needs.
const Supported = true

// unsentLimit is how many bytes the kernel holds for a peer before it has sent
// them. Without a limit one that does not read costs megabytes.
const unsentLimit = 128 << 10

// Socket is the connection of a stream. One goroutine at a time may use it,
// but for Abort, Unheard and Read.
type Socket struct {
	fd   int32
	slot int32     // in the poller; -1 is none
	tls  *tls.Conn // whose connection has fd; nil without TLS
}

// Takes reports whether a connection is one that [New] can take: of TCP, with
// TLS or without, or of a socket in the file system, and nothing else around it.
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

// New returns a socket for a connection, from which both can be used until one
// of Own and Release is called.
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
	// of no use to sockets in the file system, and no harm
	_ = unix.SetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	return s, nil
}

// dup frees a socket of what package net keeps for each.
func dup(fd uintptr) (int32, error) {
	own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	return int32(own), err
}

// Own makes the connection the socket's alone.
func (s Socket) Own(conn net.Conn) {
	if s.tls == nil {
		_ = conn.Close() // the peer does not notice, because the socket is open
	}
}

// Release gives the socket up, and leaves the connection to whom it came from.
func (s Socket) Release() {
	if s.tls == nil {
		_ = unix.Close(int(s.fd))
	}
}

// MayBlock reports whether a Write may wait for the peer, although it should
// not: see [Socket.Write]. It may be called at any time.
func (s *Socket) MayBlock() bool { return s.tls != nil }

// Write writes what the socket takes at once, and returns how much that was.
// If it is less than all, the poller tells when there is room again. The error
// is for good.
//
// Over TLS a record has to be written as a whole. If the kernel takes less of it
// than it promised, as where it is short of memory, Write waits until the rest
// is taken, or until Abort.
func (s Socket) Write(p []byte) (n int, err error) {
	if s.tls != nil {
		return s.writeTLS(p)
	}
	for n < len(p) {
		m, errno := send(s.fd, p[n:])
		switch {
		case errno == 0:
			n += m // if that is not all, the next call tells whether there is room
		case errno == unix.EAGAIN:
			return n, nil
		case errno != unix.EINTR:
			return n, errno
		}
	}
	return n, nil
}

// send is send(2). The runtime is not told of the call, because it does not
// block: to have another thread take over meanwhile would cost more.
func send(fd int32, p []byte) (n int, errno unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(r), errno
}

// Abort unblocks a Write that is stuck, and a Read. It may be called at any time
// before Close.
func (s *Socket) Abort() {
	if s.tls != nil {
		_ = s.tls.NetConn().SetDeadline(time.Unix(1, 0))
	}
}

// Close ends the connection. What was written is still sent; what the peer has
// sent is thrown away, because the kernel would answer it with a reset that
// overtakes what was written. The socket must be out of the poller.
func (s Socket) Close() {
	if s.tls != nil {
		s.sayGoodbyeTLS()
	}
	_ = unix.Shutdown(int(s.fd), unix.SHUT_WR)
	var waste [512]byte
	for range 64 { // a peer may send without end
		if n, err := unix.Read(int(s.fd), waste[:]); n <= 0 || err != nil {
			break
		}
	}
	if s.tls != nil {
		_ = s.tls.NetConn().Close()
	} else {
		_ = unix.Close(int(s.fd))
	}
}
