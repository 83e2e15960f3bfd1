package chattest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// RawStream is a stream over HTTP/1 as it is on the wire.
type RawStream struct {
	Conn   net.Conn
	Header string // all of it, with the line of the status
	reader *bufio.Reader
}

// RawStream opens a stream over HTTP/1.0 or 1.1, reads its header, and gives it as
// long as [Patience] for all that follows.
func (s *Site) RawStream(t testing.TB, version, path string, header ...string) *RawStream {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(s.URL, "https") {
		conn = tls.Client(conn, InsecureTLS())
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(Patience))
	_, host, _ := strings.Cut(s.URL, "://")
	var request strings.Builder
	fmt.Fprintf(&request, "GET %s HTTP/%s\r\nHost: %s\r\n", path, version, host)
	for _, field := range header {
		request.WriteString(field + "\r\n")
	}
	fmt.Fprint(conn, request.String()+"\r\n")
	r := &RawStream{Conn: conn, reader: bufio.NewReader(conn)}
	for {
		line, err := r.reader.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, r.Header+line)
		}
		if line == "\r\n" {
			return r
		}
		r.Header += line
	}
}

// Until returns all that comes up to something.
func (r *RawStream) Until(t testing.TB, what string) string {
	t.Helper()
	var got []byte
	for !bytes.HasSuffix(got, []byte(what)) {
		b, err := r.reader.ReadByte()
		if err != nil {
			t.Fatalf("%v before %q", err, what)
		}
		got = append(got, b)
	}
	return string(got)
}

// Rest returns all that comes until the connection ends.
func (r *RawStream) Rest(t testing.TB) string {
	t.Helper()
	rest, err := io.ReadAll(r.reader)
	if err != nil {
		t.Fatalf("%v after %d bytes", err, len(rest))
	}
	return string(rest)
}
