package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// browser is a client program with some readers. Over HTTP/1.1 it has one, and
// over HTTP/2 all of them share a connection.
type browser struct {
	transport *http.Transport
	shares    bool // whether it speaks HTTP/2
}

// newBrowsers returns the browser of each reader. Of ten readers, one shares a
// connection with very many others, as behind a proxy. Over HTTP/2 the others
// share theirs with none, one or three. Proxies, and those that share with none,
// are frugal.
func newBrowsers(over protocol.Name, readers int) []*browser {
	proxies := make([]*browser, 4)
	for i := range proxies {
		proxies[i] = newBrowser(over, true)
		proxies[i].transport.HTTP2 = frugal()
	}
	all := make([]*browser, readers)
	for i := range all {
		tabs := 1 << (kindOf(i) % 3)
		switch {
		case kindOf(i) == behindProxy:
			all[i] = proxies[i/40%len(proxies)]
		case over == protocol.H2 && i%tabs > 0:
			all[i] = all[i-1]
		default:
			all[i] = newBrowser(over, over == protocol.H2)
			if tabs == 1 {
				all[i].transport.HTTP2 = frugal()
			}
		}
	}
	return all
}

func newBrowser(over protocol.Name, shares bool) *browser {
	b := &browser{shares: shares, transport: &http.Transport{
		DisableKeepAlives: !shares,
		DialContext:       dial,
		Protocols:         new(http.Protocols),
		TLSClientConfig:   insecure(),
	}}
	switch {
	case !shares:
		b.transport.Protocols.SetHTTP1(true)
	case over.IsSecure():
		b.transport.Protocols.SetHTTP2(true)
	default:
		b.transport.Protocols.SetUnencryptedHTTP2(true)
	}
	return b
}

// frugal returns the settings of a client that has small windows, which would be
// used up soon if the server lost count. Go's are 1 GB for a connection and 4 MB for
// a stream.
func frugal() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxReceiveBufferPerConnection: 256 << 10,
		MaxReceiveBufferPerStream:     64 << 10,
	}
}

// insecure returns the TLS configuration of a client that resumes its sessions, as
// browsers do.
func insecure() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // the certificate was just created
		ClientSessionCache: tls.NewLRUClientSessionCache(2),
	}
}

// connection is a connection that can be cut.
type connection struct {
	*net.TCPConn
	isCut atomic.Bool
}

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &connection{TCPConn: conn.(*net.TCPConn)}, nil
}

// connectionOf returns the connection below what a transport uses.
func connectionOf(conn net.Conn) *connection {
	if sealed, ok := conn.(*tls.Conn); ok {
		conn = sealed.NetConn()
	}
	return conn.(*connection)
}

// cut closes what a transport uses, or resets the connection below it.
func cut(conn net.Conn, reset bool) {
	below := connectionOf(conn)
	below.isCut.Store(true)
	if reset {
		_ = below.SetLinger(0)
		conn = below
	}
	conn.Close()
}
