// Package socket writes to connections without a goroutine for each: it takes
// them out of the hands of package net, and one [Poller] watches all of them.
package socket

import (
	"fmt"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supported tells that this system has what the package needs.
const Supported = true

// unsentLimit is how many bytes the kernel holds for a peer before it has sent
// them. Without a limit one that does not read costs megabytes.
const unsentLimit = 128 << 10

// Socket is the connection of a stream. One goroutine at a time may use it.
type Socket struct {
	fd   int32
	slot int32 // in the poller; -1 is none
}

// Takes reports whether a connection is one that [Dup] can take: of TCP, or
// of a socket in the file system, and nothing around it.
func Takes(conn net.Conn) bool {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	default:
		return false
	}
}

// Dup returns a socket for a connection. The connection is open as long as
// either of them is; only one of them should be used.
func Dup(conn net.Conn) (Socket, error) {
	control, ok := conn.(syscall.Conn)
	if !ok {
		return Socket{}, fmt.Errorf("%T has no socket", conn)
	}
	raw, err := control.SyscallConn()
	if err != nil {
		return Socket{}, err
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return Socket{}, err
	}
	if dupErr != nil {
		return Socket{}, fmt.Errorf("duplicating a socket: %w", dupErr)
	}
	// of no use to sockets in the file system, and no harm
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	return Socket{fd: int32(fd), slot: -1}, nil
}

// Write writes what the socket takes at once, and returns how much that was.
// If it is less than all, the poller tells when there is room again. The error
// is for good.
func (s Socket) Write(p []byte) (n int, err error) {
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

// Close ends the connection. What was written is still sent; what the peer has
// sent is thrown away, because the kernel would answer it with a reset that
// overtakes what was written. The socket must be out of the poller.
func (s Socket) Close() {
	_ = unix.Shutdown(int(s.fd), unix.SHUT_WR)
	var waste [512]byte
	for range 64 { // a peer may send without end
		if n, err := unix.Read(int(s.fd), waste[:]); n <= 0 || err != nil {
			break
		}
	}
	_ = unix.Close(int(s.fd))
}

// Release gives the socket up, and leaves the connection to whom it came from.
func (s Socket) Release() { _ = unix.Close(int(s.fd)) }
