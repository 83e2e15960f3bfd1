package ssechat

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
)

// sites are several sites of one Caddy, with its admin API.
type sites struct {
	admin *site
	sites []*site
	head  string
}

// serveSites starts a Caddy with an admin API and sites of those blocks.
func serveSites(t *testing.T, global string, blocks ...string) *sites {
	t.Helper()
	// a reload closes idle connections, maybe while a request takes one
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	newSite := func() *site {
		addr := freeAddr(t)
		return &site{addr: addr, url: "http://" + addr, client: client}
	}
	all := &sites{admin: newSite()}
	all.head = strings.Replace(globalOptions, "admin off", "admin "+all.admin.addr, 1) + global
	for range blocks {
		all.sites = append(all.sites, newSite())
	}
	all.load(t, blocks...)
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return all
}

func (s *sites) load(t *testing.T, blocks ...string) {
	t.Helper()
	config := "{" + s.head + "}\n"
	for i, block := range blocks {
		config += fmt.Sprintf("http://%s {\n%s\n}\n", s.sites[i].addr, block)
	}
	if err := loadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
}

// scrape returns the metrics of this module.
func (s *sites) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	a := s.admin.do(t, http.MethodGet, "/metrics", "")
	if a.status != http.StatusOK {
		t.Fatalf("GET /metrics: %d %s", a.status, a.body)
	}
	samples := make(map[string]float64)
	for line := range strings.Lines(a.body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(name, "caddy_sse_chat_") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		samples[strings.TrimPrefix(name, "caddy_sse_chat_")] = n
	}
	return samples
}

// publish publishes a message while a reload is not long ago, which may reset
// connections that no server has taken yet.
func (s *site) publish(t *testing.T, nonce string) {
	t.Helper()
	eventually(t, "the message is taken", func() bool {
		response, err := s.client.Post(s.url+"/update", "application/json", strings.NewReader(`{"text":"x","nonce":"`+nonce+`"}`))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// expect fails if samples are not what they should be.
func expect(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if n, ok := got[name]; !ok || n != value {
			t.Errorf("%s is %v (there: %t), want %v", name, n, ok, value)
		}
	}
}

// Everything that happens to a hub can be seen in its metrics.
func TestMetrics(t *testing.T) {
	s := serveSites(t, "", `sse_chat {
		retain 3
		rate 7 1h
		max_text 10
	}`)
	chat := s.sites[0]
	first := chat.post(t, "/update?room=tea", "1")
	for _, text := range []string{"2", "3"} {
		chat.post(t, "/update?room=tea", text)
	}
	reader := chat.stream(t, "/subscribe?room=tea&last=2")
	reader.next(t)
	reader.next(t)
	chat.post(t, "/update?room=tea", "4")
	reader.next(t)
	gone := chat.stream(t, "/subscribe?room=tea&last_event_id="+first.ID)
	for range 3 { // the last three, and the first of them is no gap
		gone.next(t)
	}
	gone.close()
	late := chat.stream(t, "/subscribe?room=tea&last_event_id=7")
	if e := late.next(t); e.Name != "gap" {
		t.Fatalf("got %+v, want a gap", e)
	}
	for range 3 {
		late.next(t)
	}
	for status, body := range map[int]string{
		http.StatusBadRequest:            `{"text":""}`,
		http.StatusRequestEntityTooLarge: `{"text":"12345678901"}`,
	} {
		if a := chat.do(t, http.MethodPost, "/update", body); a.status != status {
			t.Fatalf("%s: %d %s", body, a.status, a.body)
		}
	}
	if a := chat.do(t, http.MethodPost, "/update", `{"text":"x"}`, "Sec-Fetch-Site: cross-site"); a.status != http.StatusForbidden {
		t.Fatalf("from another origin: %d", a.status)
	}
	if a := chat.do(t, http.MethodGet, "/update", ""); a.status != http.StatusMethodNotAllowed {
		t.Fatalf("GET /update: %d", a.status)
	}
	for range 3 {
		chat.post(t, "/update", "x")
	}
	if a := chat.do(t, http.MethodPost, "/update", `{"text":"x"}`); a.status != http.StatusTooManyRequests {
		t.Fatalf("too fast: %d", a.status)
	}
	eventually(t, "the closed stream is counted", func() bool { return s.scrape(t)[`subscribers{hub="default"}`] == 2 })
	got := s.scrape(t)
	expect(t, got, map[string]float64{
		`subscribers{hub="default"}`:                                  2,
		`rooms{hub="default"}`:                                        1,
		`messages_published_total{hub="default"}`:                     7,
		`messages_delivered_total{hub="default"}`:                     9,
		`replayed_total{hub="default"}`:                               8,
		`streams_opened_total{hub="default"}`:                         3,
		`streams_closed_total{hub="default",reason="client"}`:         1,
		`streams_closed_total{hub="default",reason="kicked"}`:         0,
		`publish_rejected_total{hub="default",reason="invalid"}`:      1,
		`publish_rejected_total{hub="default",reason="too_large"}`:    1,
		`publish_rejected_total{hub="default",reason="too_fast"}`:     1,
		`publish_rejected_total{hub="default",reason="cross_origin"}`: 1,
		`publish_rejected_total{hub="default",reason="store"}`:        0,
		`gaps_total{hub="default",reason="unknown"}`:                  1,
		`gaps_total{hub="default",reason="expired"}`:                  0,
		`store_up{hub="default"}`:                                     1,
		`store_seconds_count{hub="default"}`:                          7,
		`store_seconds_bucket{hub="default",le="+Inf"}`:               7,
		`store_seconds_bucket{hub="default",le="10"}`:                 7,
		`streams_closed_total{hub="default",reason="slow"}`:           0,
		`streams_closed_total{hub="default",reason="error"}`:          0,
		`streams_closed_total{hub="default",reason="exit"}`:           0,
		`streams_closed_total{hub="default",reason="reload"}`:         0,
		`streams_closed_total{hub="default",reason="max_age"}`:        0,
		`gaps_total{hub="default",reason="slow"}`:                     0,
		`gaps_total{hub="default",reason="rollback"}`:                 0,
	})
	if got[`store_seconds_sum{hub="default"}`] <= 0 {
		t.Errorf("storing took %v s", got[`store_seconds_sum{hub="default"}`])
	}
	// no label that a client can choose
	form := regexp.MustCompile(`^[a-z_]+\{hub="default"(,(reason|le)="[^"]+")?\}$`)
	for name := range got {
		if !form.MatchString(name) {
			t.Errorf("unexpected labels: %s", name)
		}
	}
}

// Metrics stay right over reloads, with several sites and hubs, and show no
// hub that is no longer there.
func TestMetricsOverReloads(t *testing.T) {
	blocks := []string{"sse_chat", "sse_chat {\nhub other\n}\nhandle /again/* {\nuri strip_prefix /again\nsse_chat {\nhub other\n}\n}"}
	s := serveSites(t, "", blocks...)
	published := 0
	for i := range 20 {
		s.sites[0].publish(t, fmt.Sprint(i))
		published++
		if i%2 == 0 {
			s.sites[1].publish(t, fmt.Sprint(i))
		}
		s.load(t, blocks[0]+fmt.Sprintf(" {\nretry %dms\n}", 100+i), blocks[1])
		if got := s.scrape(t)[`messages_published_total{hub="default"}`]; got != float64(published) {
			t.Fatalf("after reload %d: %v published, want %d", i+1, got, published)
		}
	}
	s.sites[1].publish(t, "0") // a repeat, and the new server is there
	c := s.sites[1].stream(t, "/subscribe")
	expect(t, s.scrape(t), map[string]float64{
		`messages_published_total{hub="default"}`: 20,
		`messages_published_total{hub="other"}`:   10,
		`subscribers{hub="default"}`:              0,
		`subscribers{hub="other"}`:                1,
	})
	s.load(t, blocks[0], "respond ok")
	if _, err := c.rest(t); err != io.EOF {
		t.Error(err)
	}
	got := s.scrape(t)
	expect(t, got, map[string]float64{`messages_published_total{hub="default"}`: 20})
	for name := range got {
		if strings.Contains(name, `hub="other"`) {
			t.Errorf("%s is still told", name)
		}
	}
}

// What a stream that a reload ended is counted as.
func TestStreamsClosedByReason(t *testing.T) {
	s := serveSites(t, "", "sse_chat {\nmax_age 1s\n}")
	old := s.sites[0].stream(t, "/subscribe")
	old.rest(t)
	expect(t, s.scrape(t), map[string]float64{`streams_closed_total{hub="default",reason="max_age"}`: 1})
	s.load(t, "sse_chat {\npark off\n}")
	s.sites[0].publish(t, "1")
	reloaded := s.sites[0].stream(t, "/subscribe")
	s.load(t, "sse_chat {\nretry 1s\n}")
	reloaded.rest(t)
	eventually(t, "the stream is counted", func() bool {
		return s.scrape(t)[`streams_closed_total{hub="default",reason="reload"}`] == 1
	})
}

// Why streams were not begun.
func TestStreamsRefusedByReason(t *testing.T) {
	s := serveSites(t, "", "sse_chat {\nmax_subscribers 2 1\n}")
	chat := s.sites[0]
	c := chat.stream(t, "/subscribe?name=kim")
	c.text(t, ":ok")
	chat.do(t, http.MethodGet, "/subscribe", "")
	c.close()
	eventually(t, "a place becomes free", func() bool { return s.scrape(t)[`subscribers{hub="default"}`] == 0 })
	b := hubOf(t, "default")
	for range 2 {
		defer hubtest.Subscribe(t, b.Hub, hubtest.Subscription("a")).Close()
	}
	for range 3 {
		chat.do(t, http.MethodGet, "/subscribe", "")
	}
	if a := s.admin.do(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=lee", ""); a.status != http.StatusNoContent {
		t.Fatal(a)
	}
	if a := chat.do(t, http.MethodGet, "/subscribe?name=lee", ""); a.status != http.StatusNoContent {
		t.Fatal(a)
	}
	want := map[string]uint64{"full": 3, "client_full": 1, "reload": 0, "exit": 0, "kicked": 1}
	for reason, n := range want {
		expect(t, s.scrape(t), map[string]float64{`streams_refused_total{hub="default",reason="` + reason + `"}`: float64(n)})
	}
	var list []hubStatus
	decode(t, s.admin.do(t, http.MethodGet, "/sse_chat/hubs", ""), &list)
	if got := list[0].Counters.Refused; !maps.Equal(got, want) {
		t.Errorf("the admin API tells %v, want %v", got, want)
	}
	// as its server does before it closes the connections
	reason := hub.EndReload
	findHub("default").stopping.Store(&reason)
	chat.do(t, http.MethodGet, "/subscribe", "")
	expect(t, s.scrape(t), map[string]float64{`streams_refused_total{hub="default",reason="reload"}`: 1})
}

// A scrape costs the same however many rooms there are.
func TestAScrapeOfManyRoomsIsFast(t *testing.T) {
	s := serveSites(t, "", "sse_chat")
	b := hubOf(t, "default")
	const rooms = 10_000
	for i := range rooms {
		sub := hubtest.Subscribe(t, b.Hub, hubtest.Subscription(fmt.Sprintf("room-%d", i)))
		defer sub.Close()
	}
	registry := prometheus.NewPedanticRegistry()
	hub := findHub("default")
	if err := registry.Register(collector{hub.config}); err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for range 21 {
		begin := time.Now()
		if _, err := registry.Gather(); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	t.Logf("a scrape takes %s, at most %s", times[10], times[20])
	if times[10] > 20*time.Millisecond {
		t.Errorf("a scrape takes %s, want less than 20ms", times[10])
	}
	expect(t, s.scrape(t), map[string]float64{`rooms{hub="default"}`: rooms, `subscribers{hub="default"}`: rooms})
}

// Scrapes may come while everything happens; counters only grow, and nothing
// is lost.
func TestScrapesOfABusyHub(t *testing.T) {
	s := serveSites(t, "", "sse_chat")
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
	for before := s.scrape(t); ; {
		now := s.scrape(t)
		for name, value := range before {
			if strings.Contains(name, "_total") && now[name] < value {
				t.Errorf("%s went from %v to %v", name, value, now[name])
			}
		}
		before = now
		select {
		case <-done:
			expect(t, s.scrape(t), map[string]float64{
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
