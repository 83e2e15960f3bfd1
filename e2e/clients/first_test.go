package clients

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// A browser that is cut off before its first message misses nothing, however the
// connection ends, over HTTP/1.1 and HTTP/2.
func TestBrowsersResumeBeforeTheirFirstMessage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, scheme string
		run          func(c *chat) client
	}{
		{"Chromium", "http", func(*chat) client { return chromium }},
		{"Chromium over HTTPS", "https", func(*chat) client { return chromium }},
		{"Firefox", "http", func(*chat) client { return firefox }},
		{"Firefox over HTTPS", "https", firefoxThatTrusts},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newChat(t, "on")
			_, port, _ := strings.Cut(c.addr, ":")
			c.url = "http://localhost:" + port
			if test.scheme == "https" {
				c.secure(t)
			}
			c.start(t)
			for name, cut := range map[string]func(p *proxy){
				"a clean end": func(p *proxy) { p.Cut(false) },
				"a reset":     func(p *proxy) { p.Cut(true) },
				"an exit": func(p *proxy) {
					c.process.Terminate(t)
					c.start(t)
				},
			} {
				t.Run(name, func(t *testing.T) {
					p := newProxy(t, c.addr)
					_, port, _ := strings.Cut(p.Addr, ":")
					url := test.scheme + "://localhost:" + port + "/subscribe?room=" + escapedRoom
					before := len(c.published())
					r := startReader(t, test.name, test.run(c), url)
					chattest.Within(t, patience, "it has connected", r.hasBegun)
					p.Disconnect()
					cut(p)
					chattest.Within(t, patience, "it is cut off", func() bool { return c.subscribers(t) == 0 })
					c.publish(t, "while it is cut off: "+name)
					p.Connect()
					chattest.Within(t, patience, "it hears what it missed", func() bool { return r.count() >= 1 })
					c.publish(t, "after it is back: "+name)
					chattest.Within(t, patience, "it hears what comes next", func() bool { return r.count() >= 2 })
					r.check(t, c.published()[before:])
				})
			}
		})
	}
}

// With events=1, whose hello has an id, other clients miss nothing either.
func TestClientsResumeBeforeTheirFirstMessage(t *testing.T) {
	t.Parallel()
	c := startChat(t, "on")
	c.query = "&events=1"
	p := newProxy(t, c.addr)
	readers := c.readers(t, p, and(clients, libraries))
	chattest.Within(t, startup, "all know an id", func() bool { return int(p.greeted.Load()) >= len(readers) })
	p.Disconnect()
	p.Cut(false)
	chattest.Within(t, patience, "all are cut off", func() bool { return c.subscribers(t) == 0 })
	c.publish(t, "while they are cut off")
	p.Connect()
	c.seenByAll(t, readers)
	c.publish(t, "after they are back")
	c.seenByAll(t, readers)
	for _, r := range readers {
		r.check(t, c.published())
	}
}

// urllib3 gets messages immediately, not only after 512 bytes.
func TestPythonHearsEachMessageAtOnce(t *testing.T) {
	t.Parallel()
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			t.Parallel()
			c := startChat(t, park)
			r := startReader(t, "requests", python("with_requests.py"), c.at()+"/subscribe?room="+escapedRoom)
			chattest.Within(t, patience, "it has connected", func() bool { return c.subscribers(t) == 1 })
			for i := range 5 {
				c.publish(t, fmt.Sprint(i))
				c.seenByAll(t, []*reader{r})
			}
			r.check(t, c.published())
		})
	}
}

// newChat returns a chat that is not started yet.
func newChat(t *testing.T, park string) *chat {
	t.Helper()
	c := &chat{addr: "127.0.0.1:" + chattest.FreePort(t), admin: "127.0.0.1:" + chattest.FreePort(t)}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	// a handle without a matcher takes all requests, so the chat is in it
	c.block = fmt.Sprintf("handle_path /modules/* {\n\troot %q\n\tfile_server\n}\nhandle {\n"+
		"sse_chat {\n\tstore bolt %q\n\tpark %s\n\tretry 500ms\n\theartbeat 1s\n\tmax_text 30KiB\n}\n"+
		"root %q\n\tfile_server\n}",
		filepath.Join(here, "node_modules"), filepath.Join(t.TempDir(), "chat.db"), park, filepath.Join(here, "browser"))
	return c
}

// startHTTP2 starts a chat over HTTPS.
func startHTTP2(t *testing.T) *chat {
	t.Helper()
	c := newChat(t, "on")
	c.secure(t)
	c.start(t)
	return c
}

// secure makes a chat that is not started yet speak HTTPS.
func (c *chat) secure(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(c.addr, ":")
	c.url, c.certificate = "https://localhost:"+port, chattest.Certificate(t)
	c.block += fmt.Sprintf("\ntls %q %q", c.certificate, c.certificate)
}

// at returns the URL of the chat.
func (c *chat) at() string {
	if c.url != "" {
		return c.url
	}
	return "http://" + c.addr
}
