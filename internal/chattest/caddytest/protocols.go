package caddytest

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// protocols are the ways to a site, each with all of Caddy's middleware on
// that wraps responses: access logs, metrics, encode, push, intercept and
// templates.
var protocols = []struct {
	name      string
	scheme    string
	transport func(*testing.T) http.RoundTripper
	major     int
}{
	{"HTTP/1.1", "http", func(*testing.T) http.RoundTripper { return &http.Transport{} }, 1},
	{NotParked, "http", func(*testing.T) http.RoundTripper { return &http.Transport{} }, 1},
	{"HTTP/1.1 over TLS", "https", func(*testing.T) http.RoundTripper {
		return &http.Transport{TLSClientConfig: chattest.InsecureTLS(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	}, 1},
	{"HTTP/2", "https", func(*testing.T) http.RoundTripper {
		return &http.Transport{TLSClientConfig: chattest.InsecureTLS(), Protocols: chattest.OnlyHTTP2()}
	}, 2},
	{"HTTP/2 without TLS", "http", func(*testing.T) http.RoundTripper { return &http.Transport{Protocols: chattest.OnlyHTTP2()} }, 2},
	{"HTTP/3", "https", func(t *testing.T) http.RoundTripper {
		transport := &http3.Transport{TLSClientConfig: chattest.InsecureTLS(), QUICConfig: &quic.Config{InitialStreamReceiveWindow: 32 << 10, MaxStreamReceiveWindow: 64 << 10}}
		t.Cleanup(func() { transport.Close() })
		return transport
	}, 3},
}

// NotParked is HTTP/1.1 with a handler that writes for each stream.
const NotParked = "HTTP/1.1 not parked"

// Caddyfile is a site with everything on.
func Caddyfile(scheme, addr, options string) string {
	_, port, _ := net.SplitHostPort(addr)
	host := "localhost"
	if scheme == "http" {
		host = "127.0.0.1"
	}
	return fmt.Sprintf(`{
		%s
		metrics
		servers {
			protocols h1 h2 h2c h3
		}
	}
	%s://%s:%s {
		bind 127.0.0.1
		log {
			output discard
		}
		encode
		push
		intercept {
			@broken status 5xx
			handle_response @broken {
				respond "broken"
			}
		}
		templates
		route {
			sse_chat {
				%s
			}
			respond "next"
		}
	}`, GlobalOptions(), scheme, host, port, options)
}

// EachProtocol runs a test over each protocol, on a new site each time. major is
// the protocol's major version.
func EachProtocol(t *testing.T, options string, run func(t *testing.T, s *chattest.Site, major int)) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			options := options
			if p.name == NotParked {
				options += "\npark off"
			}
			run(t, serveThrough(t, p.scheme, options, p.transport(t)), p.major)
		})
	}
}

// ServeOver starts a site with everything on, of which clients speak HTTP/1.1.
func ServeOver(t testing.TB, scheme, options string) *chattest.Site {
	t.Helper()
	return serveThrough(t, scheme, options, &http.Transport{TLSClientConfig: chattest.InsecureTLS()})
}

func serveThrough(t testing.TB, scheme, options string, transport http.RoundTripper) *chattest.Site {
	t.Helper()
	addr := chattest.FreeAddr(t)
	if err := LoadCaddyfile(t, Caddyfile(scheme, addr, options)); err != nil {
		t.Fatal(err)
	}
	stopAfter(t)
	url := "http://" + addr
	if scheme == "https" {
		_, port, _ := net.SplitHostPort(addr)
		url = "https://localhost:" + port
	}
	s := chattest.At(url, &http.Client{Transport: transport})
	t.Cleanup(s.Client.CloseIdleConnections)
	s.Ready(t)
	return s
}
