package socket

import (
	"errors"
	"os"
	"time"
)

// Limits for a peer, which has nothing to send on a stream's connection: how many
// bytes it may send, and how long a record may take.
const (
	readLimit   = 64 << 10
	readTimeout = time.Second
)

var errTalkative = errors.New("the peer sends too much on a stream's connection")

// writeTLS is Write over TLS.
func (s *Socket) writeTLS(p []byte) (n int, err error) {
	for n < len(p) {
		size := s.room.take(int(s.fd), len(p)-n)
		if size == 0 {
			break
		}
		m, err := s.tls.Write(p[n : n+size])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
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
func (s *Socket) sayGoodbyeTLS() {
	if isWritable(int(s.fd)) {
		_ = s.tls.CloseWrite()
	}
}
