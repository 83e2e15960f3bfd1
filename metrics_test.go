package ssechat

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
)

// Why streams were not begun.
func TestStreamsRefusedByReason(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat {\nmax_subscribers 2 1\n}")
	chat := s.Sites[0]
	c := chat.Stream(t, "/subscribe?name=kim")
	c.Until(t, ":ok")
	chat.Do(t, http.MethodGet, "/subscribe", "")
	c.Close()
	chattest.Eventually(t, "a place becomes free", func() bool { return s.Admin.Scrape(t)[`subscribers{hub="default"}`] == 0 })
	b := hubOf(t, "default")
	for range 2 {
		defer hubtest.Subscribe(t, b.Hub, hubtest.Subscription("a")).Close()
	}
	for range 3 {
		chat.Do(t, http.MethodGet, "/subscribe", "")
	}
	if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=lee", ""); a.Status != http.StatusNoContent {
		t.Fatal(a)
	}
	if a := chat.Do(t, http.MethodGet, "/subscribe?name=lee", ""); a.Status != http.StatusNoContent {
		t.Fatal(a)
	}
	want := map[string]uint64{"full": 3, "client_full": 1, "reload": 0, "exit": 0, "kicked": 1}
	for reason, n := range want {
		chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`streams_refused_total{hub="default",reason="` + reason + `"}`: float64(n)})
	}
	var list []hubStatus
	s.Admin.Do(t, http.MethodGet, "/sse_chat/hubs", "").Decode(t, &list)
	if got := list[0].Counters.Refused; !maps.Equal(got, want) {
		t.Errorf("the admin API tells %v, want %v", got, want)
	}
	// as its server does before it closes the connections
	reason := hub.EndReload
	findHub("default").stopping.Store(&reason)
	chat.Do(t, http.MethodGet, "/subscribe", "")
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`streams_refused_total{hub="default",reason="reload"}`: 1})
}

// A scrape costs the same however many rooms there are.
func TestAScrapeOfManyRoomsIsFast(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	b := hubOf(t, "default")
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(collector{findHub("default").config}); err != nil {
		t.Fatal(err)
	}
	// a loaded machine slows some scrapes down, but not all
	fastest := func() time.Duration {
		least := chattest.Patience
		for range 51 {
			begin := time.Now()
			if _, err := registry.Gather(); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(begin))
		}
		return least
	}
	few := fastest()
	const rooms = 10_000
	for i := range rooms {
		sub := hubtest.Subscribe(t, b.Hub, hubtest.Subscription(fmt.Sprintf("room-%d", i)))
		defer sub.Close()
	}
	many := fastest()
	t.Logf("a scrape takes %s, and %s with %d rooms", few, many, rooms)
	if many > 5*few {
		t.Errorf("a scrape takes %s, and %s with %d rooms", few, many, rooms)
	}
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`rooms{hub="default"}`: rooms, `subscribers{hub="default"}`: rooms})
}

// Scrapes may come while everything happens; counters only grow, and nothing
// is lost.
func TestScrapesOfABusyHub(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat")
	b := hubOf(t, "default")
	const streams, messages = 8, 500
	var busy sync.WaitGroup
	for range streams {
		sub := hubtest.Subscribe(t, b.Hub, hubtest.Subscription("a"))
		w := httptest.NewRecorder()
		stream := &stream{w: w, flush: http.NewResponseController(w), sub: sub}
		busy.Go(func() {
			for got, _ := sub.Total(); got < messages; got, _ = sub.Total() {
				if sent, err := stream.sendPending(t.Context()); err != nil {
					t.Error(err)
					return
				} else if !sent {
					<-sub.Wake
				}
			}
			sub.End(hub.EndClient)
			sub.Close()
		})
	}
	busy.Go(func() {
		for range messages {
			hubtest.Publish(t, b.Hub, "a", "x")
		}
	})
	done := make(chan struct{})
	go func() {
		busy.Wait()
		close(done)
	}()
	for before := s.Admin.Scrape(t); ; {
		now := s.Admin.Scrape(t)
		for name, value := range before {
			if strings.Contains(name, "_total") && now[name] < value {
				t.Errorf("%s went from %v to %v", name, value, now[name])
			}
		}
		before = now
		select {
		case <-done:
			chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{
				`messages_published_total{hub="default"}`:             messages,
				`messages_delivered_total{hub="default"}`:             messages * streams,
				`streams_opened_total{hub="default"}`:                 streams,
				`streams_closed_total{hub="default",reason="client"}`: streams,
				`subscribers{hub="default"}`:                          0,
			})
			return
		default:
		}
	}
}
