package tests

import (
	"net/http"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// Over a Unix socket nothing tells clients apart, so that one would keep out
// all others.
func TestClientsWithoutAnAddressAreNotLimited(t *testing.T) {
	for name, global := range map[string]string{
		"by default":            "",
		"whose proxy is silent": "servers {\ntrusted_proxies_unix\n}\n",
	} {
		for _, park := range []string{"on", "off"} {
			t.Run(name+", park "+park, func(t *testing.T) {
				s := caddytest.ServeUnix(t, global, "rate 2 1h\nmax_subscribers 1000 3\npark "+park)
				for range 5 {
					var streams []*chattest.Stream
					for range 4 {
						c, ok := s.IsServed(t)
						if !ok {
							t.Fatal("a stream is refused")
						}
						streams = append(streams, c)
						s.Post(t, "/update", "x")
					}
					for _, c := range streams {
						c.Close()
					}
				}
				chattest.Eventually(t, "all are forgotten", func() bool { return caddytest.Hub(t, "default").Subscribers == 0 })
			})
		}
	}
}

// A proxy in front of a Unix socket tells the clients apart.
func TestClientsBehindAProxyOnAUnixSocket(t *testing.T) {
	s := caddytest.ServeUnix(t, "servers {\ntrusted_proxies_unix\n}\n", "rate 1 1h\nmax_subscribers 1000 1")
	for i, status := range []int{http.StatusOK, http.StatusTooManyRequests} {
		for _, client := range []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 2001:db8::1"} {
			if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, client); a.Status != status {
				t.Errorf("message %d of %s: %d %s", i, client, a.Status, a.Body)
			}
			if _, ok := s.IsServed(t, client); ok != (i == 0) {
				t.Errorf("stream %d of %s: %t", i, client, ok)
			}
		}
	}
	// without trusted_proxies_unix anyone could write this header
	s = caddytest.ServeUnix(t, "", "rate 1 1h")
	for range 2 {
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, "X-Forwarded-For: 192.0.2.1"); a.Status != http.StatusOK {
			t.Errorf("with a proxy that is not trusted: %d %s", a.Status, a.Body)
		}
	}
}

// Addresses of one IPv6 /64 are one client, and those of another are another.
func TestAnIPv6NetworkIsOneClient(t *testing.T) {
	s := caddytest.ServeSites(t, "servers {\ntrusted_proxies static 127.0.0.1/32\n}\n", "sse_chat {\nrate 2 1h\nmax_subscribers 10 2\n}").Sites[0]
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
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, header); (a.Status == http.StatusOK) != test.ok {
			t.Errorf("a message of %s: %d %s", test.ip, a.Status, a.Body)
		}
		if _, ok := s.IsServed(t, header); ok != test.ok {
			t.Errorf("a stream of %s is served: %t, want %t", test.ip, ok, test.ok)
		}
	}
}
