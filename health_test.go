package ssechat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

func init() {
	caddy.RegisterModule(new(fragileModule))
	caddy.RegisterModule(new(deadModule))
	caddy.RegisterModule(new(eventRecorder))
}

// fragileModule is a store that tests can take down.
type fragileModule struct{}

var fragileDown atomic.Bool

var errFragile = errors.New("the disk is full")

func (*fragileModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.fragile", New: func() caddy.Module { return new(fragileModule) }}
}

func (*fragileModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}
func (*fragileModule) Place() string { return "fragile" }

func (*fragileModule) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	return fragileStore{memory.Open(hub, limits)}, nil
}

type fragileStore struct{ *memory.Store }

func (s fragileStore) Append(ctx context.Context, room string, drafts []store.Draft) ([]store.Receipt, error) {
	if fragileDown.Load() {
		return nil, errFragile
	}
	return s.Store.Append(ctx, room, drafts)
}

func (s fragileStore) Delete(ctx context.Context, id store.ID) error {
	if fragileDown.Load() {
		return errFragile
	}
	return s.Store.Delete(ctx, id)
}

// While fragileHangs is set, reads end only with their contexts, which
// fragileGivenUp counts.
var (
	fragileHangs   atomic.Bool
	fragileGivenUp atomic.Int64
	fragileReads   atomic.Int64 // of pages for readers
)

func hang(ctx context.Context) error {
	if !fragileHangs.Load() {
		return nil
	}
	<-ctx.Done()
	fragileGivenUp.Add(1)
	return ctx.Err()
}

func (s fragileStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	fragileReads.Add(1)
	if err := hang(ctx); err != nil {
		return store.Page{}, err
	}
	return s.Store.After(ctx, span, limit)
}

func (s fragileStore) Before(ctx context.Context, room string, before store.ID, limit int) (store.Page, error) {
	if err := hang(ctx); err != nil {
		return store.Page{}, err
	}
	return s.Store.Before(ctx, room, before, limit)
}

func (s fragileStore) Tail(ctx context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	if err := hang(ctx); err != nil {
		return store.Tail{}, err
	}
	return s.Store.Tail(ctx, rooms, upTo, n)
}

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
	eventually(t, fmt.Sprintf("%d events", n), func() bool {
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
	s := serveSites(t, record+"log chat {\noutput file "+file+"\nlevel INFO\ninclude http.handlers.sse_chat\n}\n", "sse_chat {\nstore fragile\n}", "sse_chat {\nstore fragile\n}")
	chat := s.sites[0]
	m := chat.post(t, "/update", "before")
	for range 2 {
		fragileDown.Store(true)
		t.Cleanup(func() { fragileDown.Store(false) })
		for range 3 {
			a := chat.do(t, http.MethodPost, "/update", `{"text":"x"}`)
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Fatalf("%d %v", a.status, a.header)
			}
		}
		if a := s.admin.do(t, http.MethodDelete, "/sse_chat/hubs/default/messages/"+m.ID, ""); a.status != http.StatusServiceUnavailable {
			t.Errorf("deleting: %d %s", a.status, a.body)
		}
		expect(t, s.scrape(t), map[string]float64{`store_up{hub="default"}`: 0})
		if a := s.admin.do(t, http.MethodGet, "/sse_chat/hubs", ""); !strings.Contains(a.body, `"store_up":false`) {
			t.Errorf("hubs: %s", a.body)
		}
		want := "http.handlers.sse_chat store_down default map[error:the disk is full]"
		if got := heard(t, 1); len(got) != 1 || got[0] != want {
			t.Errorf("heard %q, want %q", got, want)
		}
		fragileDown.Store(false)
		chat.post(t, "/update", "after")
		chat.post(t, "/update", "after")
		expect(t, s.scrape(t), map[string]float64{`store_up{hub="default"}`: 1})
		want = "http.handlers.sse_chat store_up default map[]"
		if got := heard(t, 1); len(got) != 1 || got[0] != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	expect(t, s.scrape(t), map[string]float64{
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

// deadModule is a store that is down from the beginning.
type deadModule struct{ fragileModule }

func (*deadModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.dead", New: func() caddy.Module { return new(deadModule) }}
}

func (*deadModule) Place() string { return "dead" }

func (*deadModule) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	hub.(store.Peer).Reached(errFragile)
	return fragileStore{memory.Open(hub, limits)}, nil
}

// That a store is down when its hub is opened is told too.
func TestAStoreThatIsDownFromTheBeginning(t *testing.T) {
	serveSites(t, record, "sse_chat {\nstore dead\n}")
	want := "http.handlers.sse_chat store_down default map[error:the disk is full]"
	if got := heard(t, 1); len(got) != 1 || got[0] != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// A handler tells when the last of the streams that a reload ended is gone. A
// configuration that is refused drains nobody.
func TestDrained(t *testing.T) {
	s := serveSites(t, record, "sse_chat {\npark off\n}")
	first, second := s.sites[0].stream(t, "/subscribe"), s.sites[0].stream(t, "/subscribe")
	if err := loadCaddyfile(t, fmt.Sprintf("{%s}\nhttp://%s {\nsse_chat\nbasic_auth {\nkim nohash\n}\n}", s.head, s.sites[0].addr)); err == nil {
		t.Fatal("the config was taken")
	}
	s.load(t, "sse_chat {\nretry 1s\n}")
	first.rest(t)
	second.rest(t)
	want := "http.handlers.sse_chat drained default map[reason:reload streams:2]"
	if got := heard(t, 1); len(got) != 1 || got[0] != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}
