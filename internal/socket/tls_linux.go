package socket

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A [tls.Conn] cannot write a part of a record and come back for the rest: it
// waits until the kernel has taken all of it. So the kernel is asked first.

const (
	// maxRecord is how much is written at a time: the plaintext of one record.
	maxRecord = 16 << 10
	// smallRecord fits wherever there is any room. What is longer is written
	// only if the kernel's buffer has room for all of it.
	smallRecord = 1 << 10
	// recordOverhead is about what a record costs beside its plaintext, in the
	// kernel's accounts too.
	recordOverhead = 4 << 10
)

// What a peer may send on a stream's connection, which has nothing to say
// there, and how long a record of it may take.
const (
	readLimit   = 64 << 10
	readTimeout = time.Second
)

var errTalkative = errors.New("the peer sends too much on a stream's connection")

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

// isWritable reports whether the kernel takes anything without delay. If not,
// the poller tells when it does: to have asked is what makes the kernel tell.
//
// A socket is writable if a third of its buffer is free, and less than half of
// unsentLimit is unsent.
func (s Socket) isWritable() bool {
	fds := [1]unix.PollFd{{Fd: s.fd, Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err != unix.EINTR {
			// of an error the write tells more
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

// room returns how many of n bytes to write in the next record, so that the
// buffer of a socket that is writable has room for it.
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

// Read takes what the peer of a TLS connection has sent: its keys may change,
// and it may say that it goes, which is an error. It waits for a moment for the
// rest of a record. It may run beside one Write; one at a time may be called.
func (s *Socket) Read() error {
	var waste [4 << 10]byte
	for total := 0; total < readLimit; {
		_ = s.tls.NetConn().SetReadDeadline(time.Now().Add(readTimeout))
		n, err := s.tls.Read(waste[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // for [tls.Conn] that is no error to remember
		}
		if err != nil {
			return err
		}
		total += n
	}
	return errTalkative
}

// sayGoodbyeTLS tells the peer that this is all, if there is room for it.
func (s Socket) sayGoodbyeTLS() {
	if s.isWritable() {
		_ = s.tls.CloseWrite()
	}
}
