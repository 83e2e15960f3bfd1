package ssechat

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// logged is the Caddyfile of a site that logs to a file of that name.
func logged(address, file string) string {
	return address + " {\nlog {\noutput file DIR/" + file + ".log\n}\nsse_chat\n}\n"
}

// linesOf returns in which files, each once per line, an agent's requests are
// logged.
func linesOf(t *testing.T, dir, agent string) (files []string) {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for range logLines(path, agent) {
			files = append(files, strings.TrimSuffix(filepath.Base(path), ".log"))
		}
	}
	return files
}

// The line of a parked stream goes to the file of its own site, whichever sites
// come and go before its end; to the default log if its own is gone; and nowhere
// if its site logs nothing any more. Caddy numbers the loggers of sites anew on
// each reload.
func TestAParkedStreamIsLoggedWithItsOwnSite(t *testing.T) {
	const (
		one, two, other = "http://one.example:PORT", "http://two.example:PORT", "http://other.example:PORT"
		silent          = one + " {\nsse_chat\n}\n"
		skipping        = one + " {\nlog {\noutput file DIR/one.log\n}\nlog_skip /subscribe\nsse_chat\n}\n"
		choosing        = one + " {\nlog chosen {\noutput file DIR/chosen.log\nno_hostname\n}\nlog {\noutput file DIR/one.log\n}\nlog_name chosen\nsse_chat\n}\n"
		bound           = one + " {\nbind 127.0.0.1\nlog {\noutput file DIR/one.log\n}\nsse_chat\n}\n"
	)
	zero := logged("http://zero.example:PORT", "zero")
	for _, test := range []struct {
		name, before, after string
		host                string
		want                string
	}{
		{"without a reload", logged(one, "one") + logged(two, "two"), "", "two.example", "two"},
		{"a site comes before it", logged(one, "one") + logged(two, "two"), zero + logged(one, "one") + logged(two, "two"), "one.example", "one"},
		{"a site comes before it, and it is the second", logged(one, "one") + logged(two, "two"), zero + logged(one, "one") + logged(two, "two"), "TWO.example", "two"},
		{"the site before it goes", logged(one, "one") + logged(two, "two"), logged(two, "two"), "two.example", "two"},
		{"its file changes", logged(one, "one") + logged(two, "two"), zero + logged(one, "new") + logged(two, "two"), "one.example", "new"},
		{"it goes", logged(one, "one") + logged(two, "two"), logged(two, "two"), "one.example", "default"},
		{"it goes, and another answers for all hosts", logged(one, "one") + logged(two, "two"), logged(two, "two") + logged("http://:PORT", "all"), "one.example", "default"},
		{"it goes, and another answers for its domain", logged(one, "one") + logged(two, "two"), logged(two, "two") + logged("http://*.example:PORT", "domain"), "one.example", "default"},
		{"its server goes", logged(one, "one") + logged("http://one.example:PORT2", "two"), logged("http://one.example:PORT2", "two"), "one.example", "default"},
		{"another server has the same host", logged(one, "one"), logged("http://one.example:PORT2", "two") + logged(one, "one"), "one.example", "one"},
		{"it listens on one address only", logged("http://one.example:PORT2", "two") + logged(one, "one"), bound + logged("http://one.example:PORT2", "two"), "one.example", "one"},
		{"it listens on all addresses", bound, logged("http://one.example:PORT2", "two") + logged(one, "one"), "one.example", "one"},
		{"it is for all hosts", logged(one, "one") + logged("http://:PORT", "all"), zero + logged(one, "one") + logged("http://:PORT", "all"), "other.example", "all"},
		{"it is for all hosts, and one gets its own site", logged(one, "one") + logged("http://:PORT", "all"), logged(other, "other") + logged("http://:PORT", "all"), "other.example", "all"},
		{"it is for a domain", logged("http://*.example:PORT", "domain") + logged("http://*:PORT", "all"), zero + logged("http://*.example:PORT", "domain"), "a.example", "domain"},
		{"it is for a domain, and one host gets its own site", logged("http://*.example:PORT", "domain"), logged(one, "one") + logged("http://*.example:PORT", "domain"), "one.example", "domain"},
		{"it logs no more", logged(one, "one") + logged(two, "two"), zero + silent + logged(two, "two"), "one.example", ""},
		{"nobody logs any more", logged(one, "one"), silent, "one.example", ""},
		{"it begins to log", silent + logged(two, "two"), logged(one, "one") + logged(two, "two"), "one.example", ""},
		{"it was skipped", skipping, zero + logged(one, "one"), "one.example", ""},
		{"it is skipped from now on, which only a request could tell", logged(one, "one"), zero + skipping, "one.example", "one"},
		{"it has chosen its log", choosing, zero + choosing, "one.example", "chosen"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			_, port, _ := net.SplitHostPort(chattest.FreeAddr(t))
			_, port2, _ := net.SplitHostPort(chattest.FreeAddr(t))
			head := strings.Replace(caddytest.GlobalOptions(), "output discard\n\t\tlevel ERROR", "output file "+dir+"/default.log", 1)
			fill := strings.NewReplacer("DIR", dir, "PORT2", port2, "PORT", port)
			load := func(sites string) {
				t.Helper()
				config, err := caddytest.Adapt("{" + head + "}\n" + fill.Replace(sites))
				if err != nil {
					t.Fatal(err)
				}
				// as it is with the ports of HTTP; with others Caddy's adapter
				// writes what its server does not understand
				config = bytes.ReplaceAll(config, []byte(`"skip_hosts":["one.example:`+port), []byte(`"skip_hosts":["one.example`))
				if err := caddy.Load(config, true); err != nil {
					t.Fatal(err)
				}
			}
			load(test.before)
			s := chattest.At("http://127.0.0.1:"+port, &http.Client{Transport: new(http.Transport)})
			t.Cleanup(func() {
				s.Client.CloseIdleConnections()
				if err := caddy.Stop(); err != nil {
					t.Error(err)
				}
			})
			b := hubOf(t, "default")
			c := s.Stream(t, "/subscribe", "Host: "+test.host, "User-Agent: reader")
			waitParked(t, b, 1)
			if test.after != "" {
				load(test.after)
			}
			c.Close()
			// the line is written before the stream is closed
			chattest.Eventually(t, "the stream is closed", func() bool { return b.Counts.Subscribers.Load() == 0 })
			var want []string
			if test.want != "" {
				want = []string{test.want}
			}
			if got := linesOf(t, dir, "reader"); !slices.Equal(got, want) {
				t.Errorf("logged in %q, want %q", got, want)
			}
		})
	}
}

// A socket in the file system is found again by its path.
func TestAParkedStreamOnAUnixSocketIsLoggedWithItsOwnSite(t *testing.T) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", dir+"/s")
	}
	s := chattest.At("http://localhost", &http.Client{Transport: &http.Transport{DialContext: dial}})
	load := func(sites ...string) {
		t.Helper()
		caddyfile := "{" + caddytest.GlobalOptions() + "}\n"
		for _, name := range sites {
			caddyfile += fmt.Sprintf("http://localhost {\nbind unix/%s/%s\nlog {\noutput file %s/%s.log\n}\nsse_chat\n}\n", dir, name, dir, name)
		}
		if err := caddytest.LoadCaddyfile(t, caddyfile); err != nil {
			t.Fatal(err)
		}
	}
	load("s")
	t.Cleanup(func() { _ = caddy.Stop() })
	b := hubOf(t, "default")
	c := s.Stream(t, "/subscribe", "User-Agent: reader")
	waitParked(t, b, 1)
	load("a", "s")
	c.Close()
	chattest.Eventually(t, "the stream is closed", func() bool { return b.Counts.Subscribers.Load() == 0 })
	if got := linesOf(t, dir, "reader"); !slices.Equal(got, []string{"s"}) {
		t.Errorf("logged in %q, want s", got)
	}
}

// On exit no configuration is active any more: the last one still counts.
func TestAccessLogOfParkedStreamsOnExitAfterAReload(t *testing.T) {
	dir := t.TempDir()
	addr := chattest.FreeAddr(t)
	block := func(file string) string { return "log {\noutput file " + dir + "/" + file + ".log\n}\nsse_chat" }
	p := caddytest.StartAdmin(t, chattest.FreeAddr(t), "http://"+addr, block("first"))
	c := p.Stream(t, "/subscribe?events=1", "User-Agent: reader")
	c.Until(t, "event: live")
	p.Load(t, fmt.Sprintf("http://%s {\n%s\n}\nhttp://%s {\n%s\n}\n", chattest.FreeAddr(t), block("other"), addr, block("second")))
	m := p.Post(t, "/update", "x")
	c.Until(t, m.ID) // which it has outlived
	p.Terminate(t)
	c.Rest(t)
	if got := linesOf(t, dir, "reader"); !slices.Equal(got, []string{"second"}) {
		t.Errorf("logged in %q, want the second", got)
	}
}
