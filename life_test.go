package ssechat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

func init() { caddy.RegisterModule(new(distantModule)) }

// distantModule is a store whose log cannot be reached before a test says so.
// Others publish to it meanwhile.
type distantModule struct{}

var distantReached atomic.Bool

var errDistant = errors.New("the log cannot be reached yet")

func (*distantModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.sse_chat.stores.distant", New: func() caddy.Module { return new(distantModule) }}
}

func (*distantModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}
func (*distantModule) Place() string { return "distant" }

func (*distantModule) Open(_ string, hub store.Hub, limits store.Limits) (store.Store, error) {
	return distantStore{memory.Open(distantHub{hub}, limits)}, nil
}

type distantHub struct{ store.Hub }

func (h distantHub) Deliver(messages []*store.Message) {
	if distantReached.Load() {
		h.Hub.Deliver(messages)
	}
}

type distantStore struct{ *memory.Store }

func (s distantStore) State() store.State {
	if !distantReached.Load() {
		return store.State{Durable: true}
	}
	return s.Store.State()
}

func (s distantStore) After(ctx context.Context, span store.Span, limit int) (store.Page, error) {
	if !distantReached.Load() {
		return store.Page{}, errDistant
	}
	return s.Store.After(ctx, span, limit)
}

func (s distantStore) Tail(ctx context.Context, rooms []string, upTo store.ID, n int) (store.Tail, error) {
	if !distantReached.Load() {
		return store.Tail{}, errDistant
	}
	return s.Store.Tail(ctx, rooms, upTo, n)
}

func (s distantStore) Witness(context.Context, store.ID) (bool, error) {
	if !distantReached.Load() {
		return false, errDistant
	}
	return true, nil
}

// reach has the log known from now on.
func reach(b *openHub) {
	distantReached.Store(true)
	b.Began(b.State().Latest)
}

// Readers who come before their log is known wait for it, parked or not, and
// get what they have asked for.
func TestReadersWhoComeBeforeTheirLog(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			distantReached.Store(false)
			s := caddytest.Serve(t, "store distant\npark "+park)
			b := hubOf(t, "default")
			var ids []string
			for i := range 3 {
				ids = append(ids, hubtest.Publish(t, b.Hub, "a", fmt.Sprint("old ", i)).String())
			}
			live := s.Stream(t, "/subscribe?room=a")
			watcher := s.Stream(t, "/subscribe?room=a&room=b&events=1")
			back := s.Stream(t, "/subscribe?room=a", "Last-Event-ID: "+ids[0])
			last := s.Stream(t, "/subscribe?room=a&last=2")
			chattest.Eventually(t, "four subscribers", func() bool { return b.Counts.Subscribers.Load() == 4 })
			if park == "on" {
				waitParked(t, b, 1)
			}
			reach(b)
			m := s.Post(t, "/update?room=a", "new")
			if got := live.Next(t).Message(t); got != m {
				t.Errorf("one who wants what is new gets %+v, want %+v", got, m)
			}
			if got := watcher.Until(t, m.ID); strings.Contains(got, `"old `) || strings.Contains(got, "event: gap") {
				t.Errorf("one with named events gets %q", got)
			}
			for name, c := range map[string]*chattest.Stream{"one who comes back": back, "one who wants the last two": last} {
				for _, want := range []string{ids[1], ids[2], m.ID} {
					if e := c.Next(t); e.ID != want {
						t.Fatalf("%s gets %+v, want %s", name, e, want)
					}
				}
			}
		})
	}
}

// A parked reader is told of what its log has lost, once, and reads on.
func TestParkedReadersAreToldOfWhatTheLogHasLost(t *testing.T) {
	for _, rollback := range []bool{true, false} {
		want := map[bool]string{true: "rollback", false: "slow"}[rollback]
		t.Run(want, func(t *testing.T) {
			s := caddytest.Serve(t, "")
			b := hubOf(t, "default")
			one, more, watcher := s.Stream(t, "/subscribe?room=a"), s.Stream(t, "/subscribe?room=a&room=b"), s.Stream(t, "/subscribe?room=a&events=1")
			all := []*chattest.Stream{one, more, watcher}
			waitParked(t, b, len(all))
			before := s.Post(t, "/update?room=a", "before")
			for _, c := range all {
				c.Until(t, before.ID)
			}
			b.Missed(b.State().Latest, rollback)
			for _, c := range all {
				c.Until(t, "event: gap\ndata: {\"reason\":\""+want+"\",\"oldest\":\"\"}\n\n")
			}
			after := s.Post(t, "/update?room=a", "after")
			for i, c := range all {
				if got := c.Until(t, "id: "+after.ID+"\n"); strings.Contains("\n"+got, "\nevent: gap") {
					t.Errorf("reader %d was told twice: %q", i, got)
				}
			}
			if n := parkedStreams(b); n != len(all) {
				t.Errorf("%d streams are parked", n)
			}
			if n := b.Counts.Gaps.ByReason()[want]; n != uint64(len(all)) {
				t.Errorf("%d gaps are counted, want %d", n, len(all))
			}
			if a := s.Do(t, http.MethodGet, "/history?room=a", ""); !strings.Contains(a.Body, "before") {
				t.Errorf("history: %s", a.Body)
			}
		})
	}
}
