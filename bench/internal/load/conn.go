// Package load is the client side of a measurement: many readers on one thread,
// and publishers on another, doing only the work needed to count.
package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// conn is a connection whose reads do not block once it is established.
type conn struct {
	raw *socket
	tls *tls.Conn // nil in cleartext
}

// again is returned by reads if nothing has arrived yet. TLS does not treat it as
// fatal.
var again net.Error = notYetError{}

type notYetError struct{}

func (notYetError) Error() string   { return "nothing has come yet" }
func (notYetError) Timeout() bool   { return true }
func (notYetError) Temporary() bool { return true }

// handshakeLimit is how long a TLS handshake waits for each answer.
const handshakeLimit = 10 * time.Second

// perAddress is the number of connections per loopback source address.
const perAddress = 10_000

// dial opens the i-th connection to a server.
func dial(addr string, over protocol.Name, i int) (*conn, error) {
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("a socket: %w", err)
	}
	c := &conn{raw: &socket{fd: fd}}
	at := i / perAddress
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, byte(1 + at/250), byte(1 + at%250)}}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := errors.Join(unix.Bind(fd, from), unix.Connect(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())})); err != nil {
		c.close()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if !over.IsSecure() {
		return c, nil
	}
	config := &tls.Config{
		InsecureSkipVerify: true, // the certificate was just created
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
		NextProtos:         []string{"http/1.1"},
	}
	if over == protocol.H2 {
		config.NextProtos = []string{"h2"}
	}
	// not before connecting, because a signal would then interrupt it for good
	limit := unix.NsecToTimeval(int64(handshakeLimit))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	c.tls = tls.Client(c.raw, config)
	if err := c.tls.Handshake(); err != nil {
		c.close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if got := c.tls.ConnectionState().NegotiatedProtocol; got != config.NextProtos[0] {
		c.close()
		return nil, fmt.Errorf("the server speaks %q, not %q", got, config.NextProtos[0])
	}
	return c, nil
}

func (c *conn) unblock() error { return unix.SetNonblock(c.raw.fd, true) }

// receive reads once from the socket into buf, and calls got with that data or,
// over TLS, with its plaintext in plain. It returns again if nothing has arrived.
func (c *conn) receive(buf, plain []byte, got func([]byte) error) error {
	n, err := c.raw.Read(buf)
	if err != nil {
		return err
	}
	if c.tls == nil {
		return got(buf[:n])
	}
	c.raw.came, c.raw.reads = buf[:n], true
	defer func() { c.raw.came, c.raw.reads = nil, false }()
	for {
		n, err := c.tls.Read(plain)
		if n > 0 {
			if err := got(plain[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, again) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *conn) write(p []byte) error {
	if c.tls != nil {
		_, err := c.tls.Write(p)
		return err
	}
	_, err := c.raw.Write(p)
	return err
}

func (c *conn) close() { _ = unix.Close(c.raw.fd) }

// reset closes the connection as one that is lost: the server gets a reset, no
// clean end.
func (c *conn) reset() {
	_ = unix.SetsockoptLinger(c.raw.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	c.close()
}

// socket is a net.Conn for TLS.
type socket struct {
	fd int
	// filled in advance, so that one call reads many records
	came  []byte
	reads bool
}

func (s *socket) Read(p []byte) (int, error) {
	if s.reads {
		if len(s.came) == 0 {
			return 0, again
		}
		n := copy(p, s.came)
		s.came = s.came[n:]
		return n, nil
	}
	for {
		n, err := unix.Read(s.fd, p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case errors.Is(err, unix.EAGAIN):
			return 0, again
		case !errors.Is(err, unix.EINTR):
			return 0, err
		}
	}
}

// Write waits while the socket is full: servers that do not read are not measured
// here.
func (s *socket) Write(p []byte) (written int, err error) {
	for written < len(p) {
		n, err := unix.Write(s.fd, p[written:])
		switch {
		case n > 0:
			written += n
		case errors.Is(err, unix.EAGAIN):
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, 1000)
		case err != nil && !errors.Is(err, unix.EINTR):
			return written, err
		}
	}
	return written, nil
}

func (s *socket) Close() error                     { return unix.Close(s.fd) }
func (s *socket) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *socket) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
