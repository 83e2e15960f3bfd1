package socket

import (
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unheard tells for how long the peer of a connection has acknowledged nothing,
// and whether it owes an acknowledgement: whether there is anything written that
// has not arrived, as far as this machine knows. A peer that is there
// acknowledges at once, also if it reads nothing and has no room.
//
// Of a connection that is not one of TCP, or is closed, it tells that nothing
// is owed.
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

// Unheard is [Unheard] of a socket. It may be called at any time before Close.
func (s *Socket) Unacked() (since time.Duration, owed bool) { return unacked(int(s.fd)) }

func unacked(fd int) (since time.Duration, owed bool) {
	// nearly always all has arrived, and this is the quicker question
	var queued int32
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
	if errno != 0 || queued == 0 {
		return 0, false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	// a peer without room is asked ever more seldom whether it has some, and
	// so acknowledges as seldom; two questions without an answer are more
	owed = info.Unacked > 0 || info.Probes > 1
	return time.Duration(info.Last_ack_recv) * time.Millisecond, owed
}
