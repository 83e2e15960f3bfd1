package socket

import (
	"errors"
	"os"
	"time"
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

// Limits for a peer, which has nothing to send on a stream's connection: how many
// bytes it may send, and how long a record may take.
const (
	readLimit   = 64 << 10
	readTimeout = time.Second
)

var errTalkative = errors.New("the peer sends too much on a stream's connection")

// writeTLS is Write over TLS.
func (s Socket) writeTLS(p []byte) (n int, err error) {
	for n < len(p) && s.isWritable() {
		size := s.room(len(p) - n)
		m, err := s.tls.Write(p[n : n+size])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// isWritable reports whether the kernel takes anything without delay. If not, the
// poller reports when it does: asking is what arms the edge.
//
// A socket is writable if a third of its buffer is free and less than half of
// unsentLimit is unsent.
func (s Socket) isWritable() bool {
	fds := [1]unix.PollFd{{Fd: s.fd, Events: unix.POLLOUT}}
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

// room returns how many of n bytes to write in the next record, so that the buffer
// of a writable socket has room for it.
func (s Socket) room(n int) int {
	n = min(n, maxRecord)
	if n <= smallRecord {
		return n
	}
	var info [memFields]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return n // a kernel before 4.12
	}
	free := int(info[memSndbuf]) - int(info[memWmemQueued]) - recordOverhead
	return max(smallRecord, min(n, free))
}

// Read reads and discards what the peer of a TLS connection has sent, which may
// change keys. It returns an error if the peer closes the connection or sends too
// much. It waits a moment for the rest of a record. It may run beside Write, but
// only one Read at a time.
func (s *Socket) Read() error {
	var waste [4 << 10]byte
	for total := 0; total < readLimit; {
		_ = s.tls.NetConn().SetReadDeadline(time.Now().Add(readTimeout))
		n, err := s.tls.Read(waste[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // [tls.Conn] does not remember this error
		}
		if err != nil {
			return err
		}
		total += n
	}
	return errTalkative
}

// sayGoodbyeTLS sends a close alert, if there is room for it.
func (s Socket) sayGoodbyeTLS() {
	if s.isWritable() {
		_ = s.tls.CloseWrite()
	}
}
