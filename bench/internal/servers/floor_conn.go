package servers

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

// floorReader is a reader of a floor.
type floorReader struct {
	conn io.ReadWriteCloser // raw, or TLS over it
	raw  *floorConn
	h2   bool
	gone bool

	sender *floorSender
	place  int // index among the sender's readers
}

// open sends everything that precedes events.
func (r *floorReader) open() error {
	head := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:ok\n")
	if r.h2 {
		const status200 = 0x88 // of HPACK's static table
		head = []byte{0, 0, 0, byte(http2.FrameSettings), 0, 0, 0, 0, 0}
		head = append(head, 0, 0, 0, byte(http2.FrameSettings), byte(http2.FlagSettingsAck), 0, 0, 0, 0)
		head = append(head, 0, 0, 1, byte(http2.FrameHeaders), byte(http2.FlagHeadersEndHeaders), 0, 0, 0, 1, status200)
		head = dataFrames(head, []byte(":ok\n"))
	}
	_, err := r.conn.Write(head)
	return err
}

// send sends events, over HTTP/2 in DATA frames.
func (r *floorReader) send(events, frames []byte) {
	if r.gone {
		return
	}
	if r.h2 {
		events = frames
	}
	if _, err := r.conn.Write(events); err != nil {
		r.gone = true
		_ = unix.Shutdown(r.raw.fd, unix.SHUT_RDWR) // noticed by watch
	}
}

// dataFrames appends p as DATA frames of the first stream.
func dataFrames(dst, p []byte) []byte {
	const longest = 16384
	for len(p) > 0 {
		n := min(len(p), longest)
		dst = append(dst, byte(n>>16), byte(n>>8), byte(n), byte(http2.FrameData), 0)
		dst = binary.BigEndian.AppendUint32(dst, 1)
		dst = append(dst, p[:n]...)
		p = p[n:]
	}
	return dst
}

// floorConn is a socket with blocking reads, and writes that wait only a moment.
type floorConn struct{ fd int }

// floorPatience is how long a floor waits for a full socket.
const floorPatience = 200 * time.Millisecond

func (c *floorConn) Read(p []byte) (int, error) {
	n, err := unix.Read(c.fd, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

func (c *floorConn) Write(p []byte) (written int, err error) {
	for written < len(p) {
		rest := p[written:]
		// bypasses the runtime, the cheapest possible call
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(rest))), uintptr(len(rest)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			written += int(n)
			continue
		}
		if errno != unix.EAGAIN {
			return written, errno
		}
		ready := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(ready, int(floorPatience.Milliseconds())); n == 0 {
			return written, os.ErrDeadlineExceeded
		}
	}
	return written, nil
}

func (c *floorConn) Close() error { return unix.Close(c.fd) }

func (c *floorConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *floorConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *floorConn) SetDeadline(time.Time) error      { return nil }
func (c *floorConn) SetReadDeadline(time.Time) error  { return nil }
func (c *floorConn) SetWriteDeadline(time.Time) error { return nil }
