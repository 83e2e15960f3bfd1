package socket

import "golang.org/x/sys/unix"

// A [tls.Conn] cannot write a part of a record and come back for the rest: it
// waits until the kernel has taken all of it. So the kernel is asked first.

// maxRecord is how much is written at a time: the plaintext of one record.
const maxRecord = 16 << 10

func (s Socket) writeTLS(p []byte) (n int, err error) {
	for n < len(p) && s.hasRoom() {
		m, err := s.tls.Write(p[n:min(len(p), n+maxRecord)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// hasRoom reports whether the kernel takes a record without delay. If not, the
// poller tells when it does: to have asked is what makes the kernel tell.
//
// A socket is writable if a third of its buffer is free, which is more than a
// record, and less than half of unsentLimit is unsent, so that a record does not
// reach the limit.
func (s Socket) hasRoom() bool {
	fds := [1]unix.PollFd{{Fd: s.fd, Events: unix.POLLOUT}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err != unix.EINTR {
			// of an error the write tells more
			return err != nil || n > 0
		}
	}
}

// sayGoodbyeTLS tells the peer that this is all, if there is room for it.
func (s Socket) sayGoodbyeTLS() {
	if s.hasRoom() {
		_ = s.tls.CloseWrite()
	}
}
