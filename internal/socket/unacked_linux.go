package socket

import (
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unacked returns how long ago the peer of a connection last acknowledged anything,
// and whether it owes an acknowledgement, that is, whether something written has
// not arrived as far as this machine knows. A live peer acknowledges at once, even
// if it reads nothing and has no room. Unacked does not block.
//
// A connection that is closed or not TCP owes nothing.
func Unacked(conn net.Conn) (since time.Duration, owed bool) {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	control, ok := conn.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := control.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) { since, owed = unacked(int(fd)) })
	return since, owed
}

// Unacked is [Unacked] of a socket. It may be called at any time before Close.
func (s *Socket) Unacked() (since time.Duration, owed bool) { return unacked(int(s.fd)) }

func unacked(fd int) (since time.Duration, owed bool) {
	// nearly always nothing is unacknowledged, and this call is cheaper
	var queued int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
	if errno != 0 || queued == 0 {
		return 0, false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	// a peer with a full buffer is probed at growing intervals, and acknowledges as
	// rarely, so one unanswered probe is no sign
	owed = info.Unacked > 0 || info.Probes > 1
	return time.Duration(info.Last_ack_recv) * time.Millisecond, owed
}
