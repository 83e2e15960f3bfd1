package ssechat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func TestMain(m *testing.M) { caddyproc.Main(m) }

// site is a Caddy that serves the handler in this process. There is one at a
// time.
type site struct {
	addr string
	url  string
	// client has no time limit; streams are ended by the tests' contexts.
	client *http.Client
}

// globalOptions keep a test's Caddy from what only a real one needs.
const globalOptions = `
	admin off
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	local_certs
	log {
		output discard
		level ERROR
	}
`

func freeAddr(t testing.TB) string { return "127.0.0.1:" + caddyproc.FreePort(t) }

// serve starts a site with the options of the directive.
func serve(t testing.TB, options string) *site {
	t.Helper()
	// in a route, because respond by itself comes before the chat
	return serveSite(t, "route {\nsse_chat {\n"+options+"\n}\nrespond \"next\" 418\n}")
}

// serveSite starts a site with the directives of its block.
func serveSite(t testing.TB, block string) *site {
	t.Helper()
	s := &site{addr: freeAddr(t), client: &http.Client{Transport: &http.Transport{}}}
	s.url = "http://" + s.addr
	s.load(t, block)
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load loads a site block, in place of what there was.
func (s *site) load(t testing.TB, block string) {
	t.Helper()
	if err := loadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\n%s\n}\n", globalOptions, s.addr, block)); err != nil {
		t.Fatal(err)
	}
	// the server that was replaced closes them, whatever is on its way there
	s.client.CloseIdleConnections()
}

func adapt(caddyfile string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}

func loadCaddyfile(t testing.TB, caddyfile string) error {
	t.Helper()
	config, err := adapt(caddyfile)
	if err != nil {
		t.Fatalf("%v in\n%s", err, caddyfile)
	}
	return caddy.Load(config, true)
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request. Header fields are "Name: value".
func (s *site) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response := s.send(t, ctx, method, path, body, header...)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{response.StatusCode, response.Header, string(got)}
}

// message returns the error that an answer tells of.
func (a answer) message(t testing.TB) string {
	t.Helper()
	var e struct{ Error string }
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Errorf("%v in %d %s", err, a.status, a.body)
	}
	return e.Error
}

func (s *site) send(t testing.TB, ctx context.Context, method, path, body string, header ...string) *http.Response {
	t.Helper()
	for begin := time.Now(); ; {
		var reader io.Reader
		if body != "" {
			reader = strings.NewReader(body)
		}
		request, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range header {
			name, value, _ := strings.Cut(field, ": ")
			request.Header.Add(name, value)
			if name == "Host" {
				request.Host = value
			}
		}
		response, err := s.client.Do(request)
		if err == nil {
			return response
		}
		// a reload resets connections that its old server has not taken yet,
		// and closes idle ones that may just be taken for this request
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || time.Since(begin) > patience {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// post publishes a text and returns what is stored.
func (s *site) post(t testing.TB, path, text string) chattest.Message {
	t.Helper()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	a := s.do(t, http.MethodPost, path, string(body))
	if a.status != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, a.status, a.body)
	}
	var m chattest.Message
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("POST %s: %v in %s", path, err, a.body)
	}
	return m
}

// client is an open stream.
type client struct {
	response *http.Response
	close    func()

	mu   sync.Mutex
	cond sync.Cond
	got  bytes.Buffer
	read int // how much of got the test has looked at
	err  error
}

// stream opens a stream and waits for its header.
func (s *site) stream(t testing.TB, path string, header ...string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{response: s.send(t, ctx, http.MethodGet, path, "", header...)}
	c.cond.L = &c.mu
	done := make(chan struct{})
	c.close = func() {
		cancel()
		<-done
	}
	t.Cleanup(c.close)
	go func() {
		defer close(done)
		defer c.response.Body.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := c.response.Body.Read(buf)
			c.mu.Lock()
			c.got.Write(buf[:n])
			c.err = err
			c.cond.Broadcast()
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

// wait waits until ready, which sees all that was not looked at yet, is true.
func (c *client) wait(t testing.TB, what string, ready func(unread string, ended bool) (taken int, ok bool)) {
	t.Helper()
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cond.Broadcast()
	})
	defer timer.Stop()
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		taken, ok := ready(c.got.String()[c.read:], c.err != nil)
		if ok {
			c.read += taken
			return
		}
		if c.err != nil || time.Since(start) >= patience {
			t.Fatalf("waiting for %s: got %q, %v", what, c.got.String()[c.read:], c.err)
		}
		c.cond.Wait()
	}
}

// next returns the next event.
func (c *client) next(t testing.TB) (e chattest.Event) {
	t.Helper()
	c.wait(t, "an event", func(unread string, _ bool) (int, bool) {
		for end := 0; ; {
			i := strings.Index(unread[end:], "\n\n")
			if i < 0 {
				return 0, false
			}
			end += i + 2
			if events := chattest.ParseStream(unread[:end]); len(events) > 0 {
				e = events[0]
				return end, true
			}
		}
	})
	return e
}

// text waits for something in the stream and returns all up to its end.
func (c *client) text(t testing.TB, what string) (text string) {
	t.Helper()
	c.wait(t, fmt.Sprintf("%q", what), func(unread string, _ bool) (int, bool) {
		i := strings.Index(unread, what)
		if i < 0 {
			return 0, false
		}
		text = unread[:i+len(what)]
		return len(text), true
	})
	return text
}

// rest waits for the stream's end and returns what was left, and how it ended.
func (c *client) rest(t testing.TB) (rest string, err error) {
	t.Helper()
	c.wait(t, "the end", func(unread string, ended bool) (int, bool) {
		rest = unread
		return len(unread), ended
	})
	return rest, c.err
}

// quiet fails if anything comes within a time.
func (c *client) quiet(t testing.TB, d time.Duration) {
	t.Helper()
	time.Sleep(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if unread := c.got.String()[c.read:]; unread != "" || c.err != nil {
		t.Fatalf("got %q, %v, want nothing", unread, c.err)
	}
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("%s: not after %s", what, patience)
		}
	}
}

// hubOf returns a hub that is open.
func hubOf(t testing.TB, name string) *openHub {
	t.Helper()
	c := findHub(name)
	if c == nil {
		t.Fatalf("no hub %q", name)
	}
	return c.hub
}

func loadJSON(config string) error { return caddy.Load([]byte(config), true) }
