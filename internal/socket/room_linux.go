package socket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A [tls.Conn] cannot write a part of a record and continue later: it waits until
// the kernel has taken all of it. So the kernel is asked for room first.

const (
	// maxRecord is how many bytes are written at a time: the plaintext of one
	// record.
	maxRecord = 16 << 10
	// smallRecord is a size that fits wherever there is any room. A longer record
	// is written only if the kernel's buffer has room for all of it.
	smallRecord = 1 << 10
	// recordOverhead is about how many bytes a record needs beside its plaintext,
	// including the kernel's own accounting.
	recordOverhead = 4 << 10
)

// room is what the kernel had free for a socket when it was last asked, less what
// was written since. The kernel only ever frees more, so it need not be asked again
// before that is used up. The zero value asks.
type room struct {
	memory int32 // bytes of the send buffer
	unsent int32 // bytes below unsentLimit
}

// take returns how many of n bytes to write in the next record, which the socket
// takes without delay: 0 if it takes none. Then the poller, or whoever waits for
// the socket, learns when it does: asking is what arms the edge.
func (r *room) take(fd, n int) int {
	n = min(n, maxRecord)
	if !r.has(n) {
		*r = room{}
		if !isWritable(fd) {
			return 0
		}
		free := freeMemory(fd) - recordOverhead
		n = min(n, max(smallRecord, free))
		*r = room{int32(free), unsentLimit / 2}
	}
	r.memory -= int32(n + recordOverhead)
	r.unsent -= int32(n)
	return n
}

// has reports whether a record of n bytes fits into what was free.
func (r *room) has(n int) bool { return r.memory >= int32(n+recordOverhead) && r.unsent >= int32(n) }

// isWritable reports whether the kernel takes anything without delay. A socket is
// writable if a third of its buffer is free and less than half of unsentLimit is
// unsent.
func isWritable(fd int) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err != unix.EINTR {
			// the write returns a more exact error
			return err != nil || n > 0
		}
	}
}

// The fields of SO_MEMINFO that matter here.
//
// https://man7.org/linux/man-pages/man7/sock_diag.7.html
const (
	memSndbuf     = 3
	memWmemQueued = 5
	memFields     = 9
)

// freeMemory returns how many bytes of a socket's send buffer are free.
func freeMemory(fd int) int {
	var info [memFields]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return maxRecord + 2*recordOverhead // a kernel before 4.12
	}
	return int(info[memSndbuf]) - int(info[memWmemQueued])
}
