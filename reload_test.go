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
	"os"
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
)

// follower reads a room as a browser does: it comes back with its last id
// whenever its stream ends, after the delay it was told.
type follower struct {
	mu   sync.Mutex
	got  []string
	gaps int
	ends int
}

func (f *follower) follow(ctx context.Context, s *site, query string) {
	last, retry := "", 100*time.Millisecond
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/subscribe?"+query, nil)
		if err != nil {
			panic(err)
		}
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		if response, err := s.client.Do(request); err == nil {
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
		t.Run("park "+park, func(t *testing.T) { testReloadsUnderLoad(t, park) })
	}
}

func testReloadsUnderLoad(t *testing.T, park string) {
	s := serve(t, "retain 100000\npark "+park)
	b := hubOf(t, "default")
	settle := func() (int, int) { // what there is when nobody is there
		eventually(t, "all streams are gone", func() bool { return b.Counts.Subscribers.Load() == 0 })
		s.client.CloseIdleConnections()
		time.Sleep(100 * time.Millisecond)
		return runtime.NumGoroutine(), openFiles(t)
	}
	s.stream(t, "/subscribe").close() // so that the wheel turns
	goroutines, files := settle()

	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	followers := make([]*follower, 10)
	for i := range followers {
		followers[i] = new(follower)
		readers.Go(func() { followers[i].follow(ctx, s, fmt.Sprintf("last_event_id=%s", b.State().Origin)) })
	}
	var stop atomic.Bool
	acknowledged := make([][]string, 4)
	for w := range acknowledged {
		writers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				body := fmt.Sprintf(`{"text":"x","nonce":"w%d-%d"}`, w, i)
				for { // repeated until it is answered, as the page does
					response, err := s.client.Post(s.url+"/update", "application/json", strings.NewReader(body))
					if err != nil {
						continue
					}
					var m chattest.Message
					err = json.NewDecoder(response.Body).Decode(&m)
					response.Body.Close()
					if err == nil && response.StatusCode == http.StatusOK {
						acknowledged[w] = append(acknowledged[w], m.ID)
						break
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for i := range 20 {
		start := time.Now()
		s.load(t, fmt.Sprintf("sse_chat {\nretain 100000\nretry %dms\npark %s\n}", 100+i, park))
		if d := time.Since(start); d > time.Second {
			t.Errorf("reload %d took %s", i, d)
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop.Store(true)
	writers.Wait()
	want := slices.Concat(acknowledged...)
	slices.SortFunc(want, func(a, b string) int { return chattest.MustID(t, a).Compare(chattest.MustID(t, b)) })
	for i, f := range followers {
		eventually(t, fmt.Sprintf("reader %d has all", i), func() bool { return f.count() >= len(want) })
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
	eventually(t, "goroutines and files are back to base", func() bool {
		g, f := settle()
		return g <= goroutines+3 && f <= files+1
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

func TestAReloadEndsStreamsCleanly(t *testing.T) {
	s := serve(t, "heartbeat 200ms\npark off")
	plain, named := s.stream(t, "/subscribe"), s.stream(t, "/subscribe?events=1")
	time.Sleep(500 * time.Millisecond)
	s.load(t, "sse_chat")
	rest, err := plain.rest(t)
	if !regexp.MustCompile(`^:ok\nretry: 10000\n(:\n)+retry: \d{3,4}\n$`).MatchString(rest) || err != io.EOF {
		t.Errorf("%q, %v", rest, err)
	}
	rest, err = named.rest(t)
	if !regexp.MustCompile(`\nretry: (\d{3,4})\nevent: bye\ndata: {"reason":"reload","retry_ms":\d{3,4}}\n\n$`).MatchString(rest) || err != io.EOF {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestARejectedReloadChangesNothing(t *testing.T) {
	s := serve(t, "retain 3\nmax_text 10\npark off")
	for i := range 3 {
		s.post(t, "/update", fmt.Sprint(i))
	}
	c := s.stream(t, "/subscribe")
	c.text(t, "retry: 10000\n")
	b := hubOf(t, "default")
	for name, config := range map[string]string{
		"wrong in another directive": "sse_chat {\nretain 1\nmax_text 20\n}\nbasic_auth {\nkim nohash\n}",
		"wrong in another handler":   "sse_chat {\nretain 1\n}\nhandle /x {\nsse_chat {\nretain 2\n}\n}",
	} {
		err := loadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\n%s\n}\n", globalOptions, s.addr, config))
		if err == nil {
			t.Fatalf("%s: the config was taken", name)
		}
		if strings.Contains(name, "handler") && !strings.Contains(err.Error(), `hub "default": its sites differ in retain, max_rooms or max_size`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := s.do(t, http.MethodGet, "/history", ""); strings.Count(a.body, "timestamp") != 3 {
		t.Errorf("history is now %s", a.body)
	}
	if a := s.do(t, http.MethodPost, "/update", `{"text":"12345678901"}`); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("max_text is now another: %d", a.status)
	}
	m := s.post(t, "/update", "live")
	if got := c.next(t).Message(t); got != m {
		t.Errorf("the stream got %+v, want %+v", got, m)
	}
	if refs, _ := hubs.pool.References(hubKey{"default", "memory"}); refs != 1 || hubOf(t, "default") != b || len(hubs.claims) != 1 {
		t.Errorf("the hub is used %d times, claimed %d times", refs, len(hubs.claims))
	}
	// a config that is taken changes what is kept
	s.load(t, "sse_chat {\nretain 1\n}")
	eventually(t, "only one message is kept", func() bool {
		return strings.Count(s.do(t, http.MethodGet, "/history", "").body, "timestamp") == 1
	})
	if _, err := c.rest(t); err != io.EOF {
		t.Error(err)
	}
}

func TestHubsAreSharedByName(t *testing.T) {
	other := freeAddr(t)
	s := &site{addr: freeAddr(t), client: http.DefaultClient}
	s.url = "http://" + s.addr
	load := func(second string) {
		t.Helper()
		if err := loadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\nsse_chat\n}\nhttp://%s {\n%s\n}", globalOptions, s.addr, other, second)); err != nil {
			t.Fatal(err)
		}
	}
	load("sse_chat")
	t.Cleanup(func() { _ = caddy.Stop() })
	second := &site{addr: other, url: "http://" + other, client: s.client}
	c := second.stream(t, "/subscribe")
	m := s.post(t, "/update", "x")
	if got := c.next(t).Message(t); got != m {
		t.Errorf("a site of the same hub got %+v, want %+v", got, m)
	}
	load("sse_chat {\nhub other\n}")
	c = second.stream(t, "/subscribe?last=10")
	s.post(t, "/update", "not for the other")
	m = second.post(t, "/update", "for the other")
	if got := c.next(t).Message(t); got != m {
		t.Errorf("a site of another hub got %+v, want %+v", got, m)
	}
	load("respond ok")
	eventually(t, "the unused hub is closed", func() bool {
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
