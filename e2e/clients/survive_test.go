// Package clients reads the chat with third-party EventSource clients over a bad
// network. It is a separate module, so users of the plugin do not inherit its
// dependencies.
package clients

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/sse-chat/caddy-sse-chat"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// patience is how long a test waits for an expected event; after an exit, a client
// may have been told to come back after 10 s.
const patience = 60 * time.Second

// startup is how long browsers and Java may take to start, all at once.
const startup = 2 * time.Minute

// room has the longest possible name; it is in each message.
var (
	room        = strings.Repeat("𠀀", 64)
	escapedRoom = url.QueryEscape(room)
)

// insecure trusts Caddy's self-signed certificate.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the test's own server

// Each client gets each message once and in order, and nothing else, whatever ends
// its connections.
func TestClientsSurvive(t *testing.T) {
	t.Parallel()
	for park, clients := range map[string]map[string]client{"on": and(clients, libraries), "off": clients} {
		t.Run("park "+park, func(t *testing.T) {
			t.Parallel()
			c := startChat(t, park)
			c.allSurvive(t, clients)
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		c := startHTTP2(t)
		c.allSurvive(t, overHTTP2(c))
	})
}

// allSurvive expects that clients get everything, whatever ends their connections.
func (c *chat) allSurvive(t *testing.T, clients map[string]client) {
	t.Helper()
	p := newProxy(t, c.addr)
	readers := c.readers(t, p, clients)
	chattest.Within(t, startup, "all have connected", func() bool { return c.subscribers(t) == len(readers) })

	// a client without an id cannot resume
	c.publish(t, "first")
	c.seenByAll(t, readers)
	stop := c.keepPublishing(t)
	for range 3 {
		p.Cut(false)
		c.allAreBack(t, readers)
		p.Cut(true)
		c.allAreBack(t, readers)
	}
	stop()
	c.seenByAll(t, readers)

	// idle, and cut after a comment
	time.Sleep(3 * time.Second)
	p.Cut(false)
	c.publish(t, "after a comment")
	c.seenByAll(t, readers)

	// the largest possible event
	c.publish(t, "x"+strings.Repeat("\t", 30<<10-1))
	c.seenByAll(t, readers)

	c.soonSeenByAll(t, readers)

	stop = c.keepPublishing(t)
	c.reload(t)
	c.allAreBack(t, readers)
	c.process.Terminate(t)
	c.start(t)
	c.allAreBack(t, readers)
	c.process.Kill(t)
	c.start(t)
	c.allAreBack(t, readers)
	// all connections are refused for longer than clients wait
	p.Disconnect()
	p.Cut(true)
	time.Sleep(3 * time.Second)
	p.Connect()
	c.allAreBack(t, readers)

	// behind a network that ends each connection after 5 s
	p.limit(5 * time.Second)
	p.Cut(false)
	chattest.Within(t, patience, "as many connections have ended as all have in 20 s", func() bool { return p.ended() >= 4*len(readers) })
	p.limit(0)
	stop()
	c.publish(t, "last")
	c.seenByAll(t, readers)
	for _, r := range readers {
		r.check(t, c.published())
	}
}

// chat is a Caddy with a hub on disk.
type chat struct {
	addr, admin, block string
	url                string // if it is not http://addr
	certificate        string // file; "" without TLS
	query              string // of its readers
	process            *caddytest.Process

	mu   sync.Mutex
	sent []string
}

func startChat(t *testing.T, park string) *chat {
	t.Helper()
	c := newChat(t, park)
	c.start(t)
	return c
}

func (c *chat) start(t *testing.T) {
	t.Helper()
	// without HTTP/3, which browsers would change to; Java does not say that it wants localhost
	c.process = caddytest.StartWith(t, c.admin, "servers {\nprotocols h1 h2\n}\ndefault_sni localhost\n", c.at(), c.block)
}

// publish sends a text until it gets an answer.
func (c *chat) publish(t *testing.T, text string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := json.Marshal(map[string]string{"text": text, "nonce": fmt.Sprint(len(c.sent))})
	if err != nil {
		t.Error(err)
		return
	}
	begin := time.Now()
	for ; time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		response, err := insecure.Post(c.at()+"/update?room="+escapedRoom, "application/json", bytes.NewReader(body))
		if err != nil {
			continue // the server restarts
		}
		answer, _ := io.ReadAll(response.Body)
		response.Body.Close()
		switch {
		case response.StatusCode == http.StatusOK:
			c.sent = append(c.sent, text)
			return
		case response.StatusCode < 500:
			t.Errorf("publishing %.40q: %s %s", text, response.Status, answer)
			return
		}
	}
	t.Errorf("not published after %s", patience)
}

func (c *chat) published() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.sent...)
}

// keepPublishing publishes until it is told to stop.
func (c *chat) keepPublishing(t *testing.T) (stop func()) {
	t.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(30 * time.Millisecond):
				c.publish(t, fmt.Sprint("message ", i))
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

// reload loads the same configuration again.
func (c *chat) reload(t *testing.T) {
	t.Helper()
	api := c.process.Admin
	config := api.Do(t, http.MethodGet, "/config/", "").Body
	// must-revalidate, though nothing changes
	if a := api.Do(t, http.MethodPost, "/load", config, "Content-Type: application/json", "Cache-Control: must-revalidate"); a.Status != http.StatusOK {
		t.Fatalf("the reload is answered %d %s", a.Status, a.Body)
	}
}

// subscribers counts the streams of the hub.
func (c *chat) subscribers(t *testing.T) int {
	t.Helper()
	return c.process.Admin.Hub(t, "default").Subscribers
}

// allAreBack waits until all readers get new messages.
func (c *chat) allAreBack(t *testing.T, readers []*reader) {
	t.Helper()
	c.publish(t, "are you back?")
	c.seenByAll(t, readers)
}

// seenByAll waits until all readers have every message published so far.
func (c *chat) seenByAll(t *testing.T, readers []*reader) {
	t.Helper()
	defer func() {
		if t.Failed() {
			for _, r := range readers {
				t.Logf("%s has %d messages; there are %d streams", r.name, r.count(), c.subscribers(t))
			}
		}
	}()
	want := len(c.published())
	for _, r := range readers {
		chattest.Within(t, patience, fmt.Sprintf("%s has all %d messages", r.name, want), func() bool { return r.count() >= want })
	}
}

// soonSeenByAll expects that all readers get a message within a second when nothing
// else happens. A busy machine may be late.
func (c *chat) soonSeenByAll(t *testing.T, readers []*reader) {
	t.Helper()
	var late []string
	for soon := 0; soon < 3; {
		begin := time.Now()
		c.publish(t, "quiet")
		c.seenByAll(t, readers)
		before := len(late)
		for _, r := range readers {
			if after := r.after(begin); after > time.Second {
				late = append(late, fmt.Sprint(r.name, " ", after))
			}
		}
		if before == len(late) {
			soon++
		} else if len(late) > 10 {
			t.Fatalf("messages came late: %s", late)
		}
	}
}

func newRequest(ctx context.Context, url string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
}
