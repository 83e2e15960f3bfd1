package ssechat

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// serveUnix starts a site on a Unix socket.
func serveUnix(t *testing.T, global, options string) *site {
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
	s := &site{addr: "localhost", url: "http://localhost", client: &http.Client{Transport: &http.Transport{DialContext: dial}}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	caddyfile := fmt.Sprintf("{%s%s}\nhttp://localhost {\nbind unix/%s\nsse_chat {\n%s\n}\n}\n", globalOptions, global, file, options)
	if err := loadCaddyfile(t, caddyfile); err != nil {
		t.Fatal(err)
	}
	return s
}

// isServed opens a stream and reports whether it is one, or is told to come
// back later.
func (s *site) isServed(t *testing.T, header ...string) (*client, bool) {
	t.Helper()
	c := s.stream(t, "/subscribe", header...)
	return c, strings.HasPrefix(c.text(t, "retry: "), ":ok")
}

// Over a Unix socket nothing tells clients apart, so that one would keep out
// all others.
func TestClientsWithoutAnAddressAreNotLimited(t *testing.T) {
	for name, global := range map[string]string{
		"by default":            "",
		"whose proxy is silent": "servers {\ntrusted_proxies_unix\n}\n",
	} {
		for _, park := range []string{"on", "off"} {
			t.Run(name+", park "+park, func(t *testing.T) {
				s := serveUnix(t, global, "rate 2 1h\nmax_subscribers 1000 3\npark "+park)
				b := hubOf(t, "default")
				for range 5 {
					var streams []*client
					for range 4 {
						c, ok := s.isServed(t)
						if !ok {
							t.Fatal("a stream is refused")
						}
						streams = append(streams, c)
						s.post(t, "/update", "x")
					}
					for _, c := range streams {
						c.close()
					}
				}
				eventually(t, "all are forgotten", func() bool { return b.Counts.Subscribers.Load() == 0 })
			})
		}
	}
}

// A proxy in front of a Unix socket tells the clients apart.
func TestClientsBehindAProxyOnAUnixSocket(t *testing.T) {
	s := serveUnix(t, "servers {\ntrusted_proxies_unix\n}\n", "rate 1 1h\nmax_subscribers 1000 1")
	for i, status := range []int{http.StatusOK, http.StatusTooManyRequests} {
		for _, client := range []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 2001:db8::1"} {
			if a := s.do(t, http.MethodPost, "/update", `{"text":"x"}`, client); a.status != status {
				t.Errorf("message %d of %s: %d %s", i, client, a.status, a.body)
			}
			if _, ok := s.isServed(t, client); ok != (i == 0) {
				t.Errorf("stream %d of %s: %t", i, client, ok)
			}
		}
	}
	// without trusted_proxies_unix anyone could write this header
	s = serveUnix(t, "", "rate 1 1h")
	for range 2 {
		if a := s.do(t, http.MethodPost, "/update", `{"text":"x"}`, "X-Forwarded-For: 192.0.2.1"); a.status != http.StatusOK {
			t.Errorf("with a proxy that is not trusted: %d %s", a.status, a.body)
		}
	}
}

// Addresses of one IPv6 /64 are one client, and those of another are another.
func TestAnIPv6NetworkIsOneClient(t *testing.T) {
	s := serveSites(t, "servers {\ntrusted_proxies static 127.0.0.1/32\n}\n", "sse_chat {\nrate 2 1h\nmax_subscribers 10 2\n}").sites[0]
	for _, test := range []struct {
		ip string
		ok bool
	}{
		{"2001:db8:0:1::1", true},
		{"2001:db8:0:1::2", true},
		{"2001:db8:0:1:ffff::3", false},
		{"2001:db8:0:2::1", true},
		{"::ffff:192.0.2.1", true},
		{"192.0.2.1", true},
		{"192.0.2.1", false},
		{"192.0.2.2", true},
	} {
		header := "X-Forwarded-For: " + test.ip
		if a := s.do(t, http.MethodPost, "/update", `{"text":"x"}`, header); (a.status == http.StatusOK) != test.ok {
			t.Errorf("a message of %s: %d %s", test.ip, a.status, a.body)
		}
		if _, ok := s.isServed(t, header); ok != test.ok {
			t.Errorf("a stream of %s is served: %t, want %t", test.ip, ok, test.ok)
		}
	}
}

// What clients have used of their limits outlives a reload that does not change
// the limits; also what parked streams take, and those that began without one.
func TestLimitsOutliveAReload(t *testing.T) {
	s := serveSites(t, "", "sse_chat {\nrate 2 1h\nmax_subscribers 10 2\n}", "sse_chat {\nrate 2 1h\n}", "sse_chat {\nrate 3 1h\n}", "sse_chat {\nrate 2 1h\nhub other\n}")
	post := func(site, status int) {
		t.Helper()
		if a := s.sites[site].do(t, http.MethodPost, "/update", `{"text":"x"}`); a.status != status {
			t.Errorf("a message to site %d: %d %s, want %d", site, a.status, a.body, status)
		}
	}
	post(0, http.StatusOK)
	post(1, http.StatusOK)
	post(0, http.StatusTooManyRequests)
	post(1, http.StatusTooManyRequests) // one hub, one rate: one budget
	for range 3 {
		post(2, http.StatusOK) // another rate has its own
	}
	post(2, http.StatusTooManyRequests)
	post(3, http.StatusOK) // and so has another hub
	for range 2 {
		if _, ok := s.sites[1].isServed(t); !ok {
			t.Fatal("a stream of a site without a limit is refused")
		}
	}
	waitParked(t, hubOf(t, "default"), 2)

	s.load(t, "sse_chat {\nrate 2 1h\nmax_subscribers 10 2\nheartbeat 1m\n}", "sse_chat", "sse_chat {\nrate 3 1h\nretry 1s\n}")
	post(0, http.StatusTooManyRequests)
	post(2, http.StatusTooManyRequests)
	if _, ok := s.sites[0].isServed(t); ok {
		t.Error("a third stream of the client is served after a reload")
	}
	if n, used := limiters.References(limiterKey{"default", Rate{2, caddy.Duration(time.Hour)}}); n != 1 || !used {
		t.Errorf("the rate is used %d times, want once", n)
	}

	// a configuration that is rejected changes nothing
	if err := loadCaddyfile(t, "{"+s.head+"}\n"+fmt.Sprintf("http://%s {\nsse_chat {\nrate 9 1h\n}\n}\nhttp://%s {\nsse_chat {\nstore bolt /\n}\n}\n", s.sites[0].addr, s.sites[1].addr)); err == nil {
		t.Fatal("two stores of one hub are taken")
	}
	post(0, http.StatusTooManyRequests)
	if _, used := limiters.References(limiterKey{"default", Rate{9, caddy.Duration(time.Hour)}}); used {
		t.Error("the rate of the configuration that was rejected is still known")
	}

	s.load(t, "sse_chat {\nrate 1 1h\n}")
	post(0, http.StatusOK)
	post(0, http.StatusTooManyRequests)
	s.load(t, "sse_chat {\nrate 2 1h\n}") // which nobody had meanwhile
	post(0, http.StatusOK)
}
