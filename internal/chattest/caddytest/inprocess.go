package caddytest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// GlobalOptions returns the global options that keep a Caddy in this process from
// what only a real one needs.
// Its admin API is where [API] says.
func GlobalOptions() string {
	return `
	admin ` + API().Addr + `
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	local_certs
	log {
		output discard
		level ERROR
	}
`
}

// Serve starts a site with options of the directive. There is one Caddy in
// this process at a time. It is stopped when its test ends.
func Serve(t testing.TB, options string) *chattest.Site {
	t.Helper()
	// in a route, because respond by itself comes before the chat
	return ServeSite(t, "route {\nsse_chat {\n"+options+"\n}\nrespond \"next\" 418\n}")
}

// ServeSite starts a site with the directives of its block.
func ServeSite(t testing.TB, block string) *chattest.Site {
	t.Helper()
	s := Reserve(t)
	Load(t, s, block)
	return s
}

// Reserve returns a site of which the configuration is still to be loaded. A first one
// that is replaced at once would not do: its server may take a connection
// after that.
func Reserve(t testing.TB) *chattest.Site {
	t.Helper()
	s := chattest.At("http://"+chattest.FreeAddr(t), &http.Client{Transport: new(http.Transport)})
	stopAfter(t)
	t.Cleanup(s.Client.CloseIdleConnections)
	return s
}

// ServeHTTP2 is [ServeSite] over HTTP/2 with TLS.
func ServeHTTP2(t testing.TB, block string) *chattest.Site {
	t.Helper()
	_, port, _ := net.SplitHostPort(chattest.FreeAddr(t))
	s := chattest.At("https://localhost:"+port, &http.Client{Transport: &http.Transport{TLSClientConfig: chattest.InsecureTLS(), Protocols: chattest.OnlyHTTP2()}})
	Load(t, s, block)
	stopAfter(t)
	t.Cleanup(s.Client.CloseIdleConnections)
	s.Ready(t)
	return s
}

// Load loads a site's block, in place of what there was.
func Load(t testing.TB, s *chattest.Site, block string) {
	t.Helper()
	if err := LoadCaddyfile(t, fmt.Sprintf("{%s}\n%s {\nbind 127.0.0.1\n%s\n}\n", GlobalOptions(), s.URL, block)); err != nil {
		t.Fatal(err)
	}
	// the server that was replaced closes them, whatever is on its way there
	s.Client.CloseIdleConnections()
}

// Adapt returns the JSON of a Caddyfile.
func Adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// LoadCaddyfile has the Caddy of this process serve a Caddyfile, in place of what
// there was. The test fails if it cannot be adapted.
func LoadCaddyfile(t testing.TB, caddyfile string) error {
	t.Helper()
	config, err := Adapt(caddyfile)
	if err != nil {
		t.Fatalf("%v in\n%s", err, caddyfile)
	}
	return caddy.Load(config, true)
}

// LoadJSON has the Caddy of this process serve a configuration.
func LoadJSON(config string) error { return caddy.Load([]byte(config), true) }

// ServeUnix starts a site on a Unix socket.
func ServeUnix(t testing.TB, global, options string) *chattest.Site {
	t.Helper()
	// t.TempDir is too long for the address of a socket
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "s")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", file)
	}
	s := chattest.At("http://localhost", &http.Client{Transport: &http.Transport{DialContext: dial}})
	stopAfter(t)
	t.Cleanup(s.Client.CloseIdleConnections)
	caddyfile := fmt.Sprintf("{%s%s}\nhttp://localhost {\nbind unix/%s\nsse_chat {\n%s\n}\n}\n", GlobalOptions(), global, file, options)
	if err := LoadCaddyfile(t, caddyfile); err != nil {
		t.Fatal(err)
	}
	return s
}
