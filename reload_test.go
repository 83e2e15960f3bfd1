package ssechat

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// follower reads a room as a browser does: it comes back with its last id
// whenever its stream ends, after the delay it was told.
type follower struct {
	mu   sync.Mutex
	got  []string
	gaps int
	ends int
}

func (f *follower) follow(ctx context.Context, s *chattest.Site, query string) {
	last, retry := "", 100*time.Millisecond
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/subscribe?"+query, nil)
		if err != nil {
			panic(err)
		}
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		if response, err := s.Client.Do(request); err == nil {
			id, gap := "", false
			lines := bufio.NewScanner(response.Body)
			for lines.Scan() {
				field, value, _ := strings.Cut(lines.Text(), ": ")
				switch field {
				case "id":
					id = value
				case "event":
					gap = value == "gap"
				case "retry":
					if d, err := time.ParseDuration(value + "ms"); err == nil {
						retry = d
					}
				case "":
					f.mu.Lock()
					if gap {
						f.gaps++
					} else if id != "" {
						f.got = append(f.got, id)
						last = id
					}
					f.mu.Unlock()
					id, gap = "", false
				}
			}
			response.Body.Close()
		}
		f.mu.Lock()
		f.ends++
		f.mu.Unlock()
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
	}
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

// Twenty reloads while people write and read lose nothing, double nothing,
// and take no time.
func TestReloadsUnderLoad(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		serveEachParked(t, "sse_chat {\nretain 100000\npark "+park+"\n}", func(t *testing.T, s *chattest.Site) { testReloadsUnderLoad(t, s, park) })
	}
}

func testReloadsUnderLoad(t *testing.T, s *chattest.Site, park string) {
	b := hubOf(t, "default")
	settle := func() (int, int) { // what there is when nobody is there
		s.Client.CloseIdleConnections()
		chattest.Eventually(t, "all streams and connections are gone", func() bool {
			return b.Counts.Subscribers.Load() == 0 && chattest.GoroutinesIn("http.(*conn).serve") == 0
		})
		return runtime.NumGoroutine(), chattest.OpenFiles(t)
	}
	s.Stream(t, "/subscribe").Close() // so that the wheel turns
	goroutines, files := settle()

	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	followers := make([]*follower, 10)
	for i := range followers {
		followers[i] = new(follower)
		readers.Go(func() { followers[i].follow(ctx, s, fmt.Sprintf("last_event_id=%s", b.State().Origin)) })
	}
	var stop atomic.Bool
	var taken atomic.Int64
	acknowledged := make([][]string, 4)
	for w := range acknowledged {
		writers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				body := fmt.Sprintf(`{"text":"x","nonce":"w%d-%d"}`, w, i)
				for { // repeated until it is answered, as the page does
					response, err := s.Client.Post(s.URL+"/update", "application/json", strings.NewReader(body))
					if err != nil {
						continue
					}
					var m chattest.Message
					err = json.NewDecoder(response.Body).Decode(&m)
					response.Body.Close()
					if err == nil && response.StatusCode == http.StatusOK {
						acknowledged[w] = append(acknowledged[w], m.ID)
						taken.Add(1)
						break
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for i := range 20 {
		start := time.Now()
		caddytest.Load(t, s, fmt.Sprintf("sse_chat {\nretain 100000\nretry %dms\npark %s\n}", 100+i, park))
		// it waits for nobody: whatever a handler waits for lasts 10 s and more
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("reload %d took %s", i, d)
		}
		before := taken.Load()
		chattest.Eventually(t, "people write on", func() bool { return taken.Load() >= before+200 })
	}
	stop.Store(true)
	writers.Wait()
	want := slices.Concat(acknowledged...)
	slices.SortFunc(want, func(a, b string) int { return chattest.MustID(t, a).Compare(chattest.MustID(t, b)) })
	for i, f := range followers {
		chattest.Eventually(t, fmt.Sprintf("reader %d has all", i), func() bool { return f.count() >= len(want) })
	}
	cancel()
	readers.Wait()
	for i, f := range followers {
		if !slices.Equal(f.got, want) || f.gaps > 0 {
			t.Errorf("reader %d got %d messages and %d gaps, want %d and none, or not in order", i, len(f.got), f.gaps, len(want))
		}
		if park == "off" && f.ends < 2 {
			t.Errorf("reader %d never had to come back", i)
		}
	}
	t.Logf("%d messages", len(want))
	if hubOf(t, "default") != b {
		t.Error("the hub is another one after reloads")
	}
	chattest.Eventually(t, "goroutines and files are back to base", func() bool {
		g, f := settle()
		return g <= goroutines+3 && f <= files+1
	})
}

func TestARejectedReloadChangesNothing(t *testing.T) {
	s := caddytest.Serve(t, "retain 3\nmax_text 10\npark off")
	for i := range 3 {
		s.Post(t, "/update", fmt.Sprint(i))
	}
	c := s.Stream(t, "/subscribe")
	c.Until(t, "retry: 10000\n")
	b := hubOf(t, "default")
	for name, config := range map[string]string{
		"wrong in another directive": "sse_chat {\nretain 1\nmax_text 20\n}\nbasic_auth {\nkim nohash\n}",
		"wrong in another handler":   "sse_chat {\nretain 1\n}\nhandle /x {\nsse_chat {\nretain 2\n}\n}",
	} {
		err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\n%s\n}\n", caddytest.GlobalOptions(), s.Addr, config))
		if err == nil {
			t.Fatalf("%s: the config was taken", name)
		}
		if strings.Contains(name, "handler") && !strings.Contains(err.Error(), `hub "default": its sites differ in retain, max_rooms or max_size`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := s.Do(t, http.MethodGet, "/history", ""); strings.Count(a.Body, "timestamp") != 3 {
		t.Errorf("history is now %s", a.Body)
	}
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"12345678901"}`); a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("max_text is now another: %d", a.Status)
	}
	m := s.Post(t, "/update", "live")
	if got := c.Next(t).Message(t); got != m {
		t.Errorf("the stream got %+v, want %+v", got, m)
	}
	if refs, _ := hubs.pool.References(hubKey{"default", "memory"}); refs != 1 || hubOf(t, "default") != b || len(hubs.claims) != 1 {
		t.Errorf("the hub is used %d times, claimed %d times", refs, len(hubs.claims))
	}
	// a config that is taken changes what is kept
	caddytest.Load(t, s, "sse_chat {\nretain 1\n}")
	chattest.Eventually(t, "only one message is kept", func() bool {
		return strings.Count(s.Do(t, http.MethodGet, "/history", "").Body, "timestamp") == 1
	})
	if _, err := c.Rest(t); err != io.EOF {
		t.Error(err)
	}
}

func TestHubsAreSharedByName(t *testing.T) {
	other := chattest.FreeAddr(t)
	s := chattest.At("http://"+chattest.FreeAddr(t), http.DefaultClient)
	load := func(second string) {
		t.Helper()
		if err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\nsse_chat\n}\nhttp://%s {\n%s\n}", caddytest.GlobalOptions(), s.Addr, other, second)); err != nil {
			t.Fatal(err)
		}
	}
	load("sse_chat")
	t.Cleanup(func() { _ = caddy.Stop() })
	second := chattest.At("http://"+other, s.Client)
	c := second.Stream(t, "/subscribe")
	m := s.Post(t, "/update", "x")
	if got := c.Next(t).Message(t); got != m {
		t.Errorf("a site of the same hub got %+v, want %+v", got, m)
	}
	load("sse_chat {\nhub other\n}")
	c = second.Stream(t, "/subscribe?last=10")
	s.Post(t, "/update", "not for the other")
	m = second.Post(t, "/update", "for the other")
	if got := c.Next(t).Message(t); got != m {
		t.Errorf("a site of another hub got %+v, want %+v", got, m)
	}
	load("respond ok")
	chattest.Eventually(t, "the unused hub is closed", func() bool {
		_, used := hubs.pool.References(hubKey{"other", "memory"})
		return !used
	})
}

// A stream that comes to a handler that has been replaced is sent on to the
// new one, soon after a reload and later on exit.
func TestAStreamThatComesTooLate(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	h := new(Handler)
	if err := h.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	h.logger = zap.NewNop()
	h.life.shutdown()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/subscribe", http.NoBody)
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	if err := h.ServeHTTP(w, r, nil); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`^retry: (\d+)\n$`).FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" || match == nil {
		t.Fatalf("%d %v %q", w.Code, w.Header(), w.Body)
	}
	if ms, _ := strconv.Atoi(match[1]); ms < 200 || ms > 2000 {
		t.Errorf("retry after %d ms, want 0.2 to 2 s", ms)
	}
	for range 2 { // also twice, also if nothing was provisioned
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if err := new(Handler).Cleanup(); err != nil {
		t.Error(err)
	}
	// a request that comes even later must not panic
	w = httptest.NewRecorder()
	r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/update", strings.NewReader(`{"text":"x"}`))
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	err := h.ServeHTTP(w, r, nil)
	if refused, _ := errors.AsType[caddyhttp.HandlerError](err); refused.StatusCode != http.StatusServiceUnavailable || w.Code != http.StatusServiceUnavailable {
		t.Errorf("a late message: %d, %v", w.Code, err)
	}
}
