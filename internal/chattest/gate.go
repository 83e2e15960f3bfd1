package chattest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// OnlyHTTP2 are the protocols of a client that speaks HTTP/2 only, also without TLS.
func OnlyHTTP2() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

// InsecureTLS is the TLS of a client that trusts any certificate.
func InsecureTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"} //nolint:gosec // the certificate is the test's own
}

// Gated is a way to a site through one connection that can be shut.
func Gated(t testing.TB, addr, scheme string, h2 bool) (*Site, *Gate) {
	t.Helper()
	gate := &Gate{open: make(chan struct{})}
	t.Cleanup(gate.Lift)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		gate.Conn = conn
		if scheme == "http" {
			return gate, nil
		}
		config := InsecureTLS()
		if h2 {
			config.NextProtos = []string{"h2"}
		}
		client := tls.Client(gate, config)
		return client, client.HandshakeContext(ctx)
	}
	url := "http://" + addr
	if scheme == "https" {
		_, port, _ := net.SplitHostPort(addr)
		url = "https://localhost:" + port
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial}
	if h2 {
		transport.Protocols = OnlyHTTP2()
	}
	return At(url, &http.Client{Transport: transport}), gate
}

// Gate is a connection from which nothing is read while it is shut.
type Gate struct {
	net.Conn
	closed atomic.Bool
	open   chan struct{}
	once   sync.Once
}

// Shut has the reader of the connection get nothing more.
func (c *Gate) Shut() { c.closed.Store(true) }

// Lift ends that. It may be called more than once.
func (c *Gate) Lift() { c.once.Do(func() { close(c.open) }) }

// Close implements [net.Conn].
func (c *Gate) Close() error {
	c.Lift()
	return c.Conn.Close()
}

// Read implements [net.Conn].
func (c *Gate) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.closed.Load() {
		<-c.open
	}
	return n, err
}
