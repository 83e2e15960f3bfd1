package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// idle is how long a server keeps an idle connection.
const idle = 2 * time.Second

// secure is a chat on disk over HTTP/2, behind a network that tests disturb.
type secure struct {
	*caddytest.Process
	port, admin, block string
	network            *chattest.Network
	texts              []string // all that was said
}

func startSecure(t *testing.T) *secure {
	t.Helper()
	s := &secure{texts: []string{}, port: chattest.FreePort(t), admin: "127.0.0.1:" + chattest.FreePort(t)}
	s.block = siteBlock(t, "../public", fmt.Sprintf("sse_chat {\n\tretry 500ms\n\theartbeat 10m\n\tstore bolt %q\n}", filepath.Join(t.TempDir(), "chat.db")))
	s.start(t)
	s.network = chattest.NewNetwork(t, "127.0.0.1:"+s.port, nil)
	return s
}

func (s *secure) start(t *testing.T) {
	t.Helper()
	global := fmt.Sprintf("servers {\nprotocols h1 h2\ntimeouts {\nidle %s\n}\n}\n", idle)
	s.Process = caddytest.StartWith(t, s.admin, global, "https://localhost:"+s.port, s.block)
}

// reload loads the same configuration again.
func (s *secure) reload(t *testing.T) {
	t.Helper()
	config := s.Admin.Do(t, http.MethodGet, "/config/", "").Body
	// must-revalidate, though nothing changes
	if a := s.Admin.Do(t, http.MethodPost, "/load", config, "Content-Type: application/json", "Cache-Control: must-revalidate"); a.Status != http.StatusOK {
		t.Fatalf("the reload is answered %d %s", a.Status, a.Body)
	}
}

// url is the address of the page, through the network.
func (s *secure) url() string { return "https://localhost:" + port(s.network.Addr) }

// open opens the page in a new tab and waits until it shows everything.
func (s *secure) open(t *testing.T, chromium context.Context) *tab {
	t.Helper()
	p := open(t, chromium, s.url()+"/?lang=en")
	wait(p, state, "live")
	wait(p, texts, s.texts)
	return p
}

// say sends a message from a tab, which all tabs must hear.
func (s *secure) say(from *tab, text string, all []*tab) {
	from.t.Helper()
	from.say(text)
	s.texts = append(s.texts, text)
	for _, p := range all {
		waitFor(p, 2*patience, texts, s.texts)
	}
	wait(from, pendings+`.length`, 0)
}

// areParked waits until there are so many streams, and none has a goroutine.
func (s *secure) areParked(t *testing.T, streams int) {
	t.Helper()
	chattest.Eventually(t, fmt.Sprintf("%d streams are parked", streams), func() bool {
		return s.Admin.Hub(t, "default").Subscribers == streams && s.Admin.Unparked(t) == 0
	})
}

// shareOne waits until all tabs have the same connection. At first a browser opens
// more, because it does not know yet that one is enough.
func (s *secure) shareOne(t *testing.T) {
	t.Helper()
	chattest.Eventually(t, "there is one connection", func() bool { return len(s.network.Links()) == 1 })
}

// openTabs opens n tabs and waits until their streams are parked.
func (s *secure) openTabs(t *testing.T, chromium context.Context, n int) []*tab {
	t.Helper()
	tabs := make([]*tab, n)
	for i := range tabs {
		tabs[i] = s.open(t, chromium)
	}
	s.areParked(t, n)
	return tabs
}

// opened counts the streams that were ever opened.
func (s *secure) opened(t *testing.T) int {
	t.Helper()
	return s.Admin.Hub(t, "default").Counters.StreamsOpened
}

// Over HTTP/2 all tabs share a connection, each with a parked stream, and each can
// send. They are back after whatever happens to the server or the network.
func TestTwelveTabsOverHTTP2(t *testing.T) {
	s := startSecure(t)
	chromium := startBrowser(t, chromedp.IgnoreCertErrors)
	tabs := s.openTabs(t, chromium, 12)
	s.shareOne(t)
	for i, p := range tabs {
		s.say(p, fmt.Sprint("from tab ", i), tabs)
	}
	tabs = append(tabs, s.open(t, chromium))
	s.areParked(t, len(tabs))

	// for longer than the server keeps an idle connection
	time.Sleep(4 * idle)
	s.shareOne(t)
	s.say(tabs[0], "after a while", tabs)
	if got := s.opened(t); got != len(tabs) {
		t.Errorf("the tabs have opened %d streams, want %d", got, len(tabs))
	}

	for i, trouble := range []struct {
		name string
		make func()
	}{
		{"a clean end", func() { s.network.Cut(false) }},
		{"a reset", func() { s.network.Cut(true) }},
		{"an exit", func() {
			s.Terminate(t)
			s.start(t)
		}},
		{"a crash", func() {
			s.Kill(t)
			s.start(t)
		}},
	} {
		t.Log(trouble.name)
		trouble.make()
		s.say(tabs[i], "after "+trouble.name, tabs)
		for _, p := range tabs {
			waitFor(p, 2*patience, state, "live")
		}
		s.areParked(t, len(tabs))
	}
}

// Reloads leave streams alone, and new tabs load after any number of them, though
// Chromium opens at most six connections to a site and counts those that go away.
func TestReloadsOverHTTP2(t *testing.T) {
	s := startSecure(t)
	chromium := startBrowser(t, chromedp.IgnoreCertErrors)
	tabs := s.openTabs(t, chromium, 3)
	for range 7 {
		s.reload(t)
	}
	s.say(tabs[0], "after seven reloads", tabs)
	tabs = append(tabs, s.open(t, chromium))
	s.say(tabs[3], "from a tab opened after them", tabs)
	if got := s.opened(t); got != len(tabs) {
		t.Errorf("the tabs have opened %d streams, want %d", got, len(tabs))
	}

	// each new tab has a connection to another server
	for i := range 7 {
		s.reload(t)
		tabs = append(tabs, s.open(t, chromium))
		s.say(tabs[i], fmt.Sprint("after reload ", i), tabs)
	}
	s.areParked(t, len(tabs))
}

// The same in Firefox. Each step is what is done after the tabs have heard a message.
func TestTabsOverHTTP2InFirefox(t *testing.T) {
	s := startSecure(t)
	inFirefox(t, s.url(), "tabs", "said idled reloaded cut exited well", map[string]func(){
		"said": func() {
			s.areParked(t, 3)
			time.Sleep(4 * idle)
			s.shareOne(t)
		},
		"idled": func() { s.reload(t) },
		"reloaded": func() {
			if got := s.opened(t); got != 3 {
				t.Errorf("the tabs have opened %d streams, want 3", got)
			}
			s.network.Cut(true)
		},
		"cut": func() {
			s.Terminate(t)
			s.start(t)
		},
		"exited": func() { s.areParked(t, 3) },
	})
}
