package tests

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/fragile"
)

func init() { caddy.RegisterModule(new(eventRecorder)) }

// eventRecorder is a handler of the events app that remembers what it hears.
type eventRecorder struct{}

var recorded struct {
	sync.Mutex
	events []string
}

func (*eventRecorder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.recorder", New: func() caddy.Module { return new(eventRecorder) }}
}

func (*eventRecorder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (*eventRecorder) Handle(_ context.Context, e caddy.Event) error {
	recorded.Lock()
	defer recorded.Unlock()
	data := maps.Clone(e.Data)
	delete(data, "hub")
	recorded.events = append(recorded.events, fmt.Sprint(e.Origin().CaddyModule().ID, " ", e.Name(), " ", e.Data["hub"], " ", data))
	return nil
}

// heard waits until as many events were recorded, and returns and forgets them.
func heard(t *testing.T, n int) (events []string) {
	t.Helper()
	chattest.Eventually(t, fmt.Sprintf("%d events", n), func() bool {
		recorded.Lock()
		defer recorded.Unlock()
		if len(recorded.events) < n {
			return false
		}
		events, recorded.events = recorded.events, nil
		return true
	})
	return events
}

const record = "events {\non drained recorder\non store_down recorder\non store_up recorder\n}\n"

// A store that fails is seen in metrics, in the admin API, in the log and as an
// event, once each time; and so is its return.
func TestAStoreThatFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	s := caddytest.ServeSites(t, record+"log chat {\noutput file "+file+"\nlevel INFO\ninclude http.handlers.sse_chat\n}\n", "sse_chat {\nstore fragile\n}", "sse_chat {\nstore fragile\n}")
	chat := s.Sites[0]
	m := chat.Post(t, "/update", "before")
	for range 2 {
		fragile.Down.Store(true)
		t.Cleanup(func() { fragile.Down.Store(false) })
		for range 3 {
			a := chat.Do(t, http.MethodPost, "/update", `{"text":"x"}`)
			if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
				t.Fatalf("%d %v", a.Status, a.Header)
			}
		}
		if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/messages/"+m.ID, ""); a.Status != http.StatusServiceUnavailable {
			t.Errorf("deleting: %d %s", a.Status, a.Body)
		}
		chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`store_up{hub="default"}`: 0})
		if a := s.Admin.Do(t, http.MethodGet, "/sse_chat/hubs", ""); !strings.Contains(a.Body, `"store_up":false`) {
			t.Errorf("hubs: %s", a.Body)
		}
		want := "http.handlers.sse_chat store_down default map[error:the disk is full]"
		if got := heard(t, 1); len(got) != 1 || got[0] != want {
			t.Errorf("heard %q, want %q", got, want)
		}
		fragile.Down.Store(false)
		chat.Post(t, "/update", "after")
		chat.Post(t, "/update", "after")
		chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`store_up{hub="default"}`: 1})
		want = "http.handlers.sse_chat store_up default map[]"
		if got := heard(t, 1); len(got) != 1 || got[0] != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{
		`publish_rejected_total{hub="default",reason="store"}`: 6,
		`store_seconds_count{hub="default"}`:                   11,
	})
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{
		`"level":"error",[^\n]*"the store cannot be written to[^\n]*"hub":"default","store":"fragile","error":"the disk is full"`: 2,
		`"level":"info",[^\n]*"the store can be written to again","hub":"default","store":"fragile"`:                              2,
		`"request refused[^\n]*storing the message`:                                                                               0, // for each message
	} {
		if got := len(regexp.MustCompile(line).FindAll(log, -1)); got != want {
			t.Errorf("%s is logged %d times, want %d:\n%s", line, got, want, log)
		}
	}
}

// That a store is down when its hub is opened is told too.
func TestAStoreThatIsDownFromTheBeginning(t *testing.T) {
	caddytest.ServeSites(t, record, "sse_chat {\nstore dead\n}")
	want := "http.handlers.sse_chat store_down default map[error:the disk is full]"
	if got := heard(t, 1); len(got) != 1 || got[0] != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// A handler tells when the last of the streams that a reload ended is gone. A
// configuration that is refused drains nobody.
func TestDrained(t *testing.T) {
	s := caddytest.ServeSites(t, record, "sse_chat {\npark off\n}")
	first, second := s.Sites[0].Stream(t, "/subscribe"), s.Sites[0].Stream(t, "/subscribe")
	if err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\nsse_chat\nbasic_auth {\nkim nohash\n}\n}", s.Head, s.Sites[0].Addr)); err == nil {
		t.Fatal("the config was taken")
	}
	s.Load(t, "sse_chat {\nretry 1s\n}")
	first.Rest(t)
	second.Rest(t)
	want := "http.handlers.sse_chat drained default map[reason:reload streams:2]"
	if got := heard(t, 1); len(got) != 1 || got[0] != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}
