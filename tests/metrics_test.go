package tests

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// publish publishes a message while a reload is not long ago, which may reset
// connections that no server has taken yet.
func publish(t *testing.T, s *chattest.Site, nonce string) {
	t.Helper()
	chattest.Eventually(t, "the message is taken", func() bool {
		response, err := s.Client.Post(s.URL+"/update", "application/json", strings.NewReader(`{"text":"x","nonce":"`+nonce+`"}`))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// Everything that happens to a hub can be seen in its metrics.
func TestMetrics(t *testing.T) {
	s := caddytest.ServeSites(t, "", `sse_chat {
		retain 3
		rate 7 1h
		max_text 10
	}`)
	chat := s.Sites[0]
	first := chat.Post(t, "/update?room=tea", "1")
	for _, text := range []string{"2", "3"} {
		chat.Post(t, "/update?room=tea", text)
	}
	reader := chat.Stream(t, "/subscribe?room=tea&last=2")
	reader.Next(t)
	reader.Next(t)
	chat.Post(t, "/update?room=tea", "4")
	reader.Next(t)
	gone := chat.Stream(t, "/subscribe?room=tea&last_event_id="+first.ID)
	for range 3 { // the last three, and the first of them is no gap
		gone.Next(t)
	}
	gone.Close()
	late := chat.Stream(t, "/subscribe?room=tea&last_event_id=7")
	if e := late.Next(t); e.Name != "gap" {
		t.Fatalf("got %+v, want a gap", e)
	}
	for range 3 {
		late.Next(t)
	}
	for status, body := range map[int]string{
		http.StatusBadRequest:            `{"text":""}`,
		http.StatusRequestEntityTooLarge: `{"text":"12345678901"}`,
	} {
		if a := chat.Do(t, http.MethodPost, "/update", body); a.Status != status {
			t.Fatalf("%s: %d %s", body, a.Status, a.Body)
		}
	}
	if a := chat.Do(t, http.MethodPost, "/update", `{"text":"x"}`, "Sec-Fetch-Site: cross-site"); a.Status != http.StatusForbidden {
		t.Fatalf("from another origin: %d", a.Status)
	}
	if a := chat.Do(t, http.MethodGet, "/update", ""); a.Status != http.StatusMethodNotAllowed {
		t.Fatalf("GET /update: %d", a.Status)
	}
	for range 3 {
		chat.Post(t, "/update", "x")
	}
	if a := chat.Do(t, http.MethodPost, "/update", `{"text":"x"}`); a.Status != http.StatusTooManyRequests {
		t.Fatalf("too fast: %d", a.Status)
	}
	chattest.Eventually(t, "the closed stream and all deliveries are counted", func() bool {
		now := s.Admin.Scrape(t)
		return now[`subscribers{hub="default"}`] == 2 && now[`messages_delivered_total{hub="default"}`] >= 9
	})
	got := s.Admin.Scrape(t)
	chattest.Expect(t, got, map[string]float64{
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
	form := regexp.MustCompile(`^[a-z_]+\{hub="default"(,(reason|kind|le)="[^"]+")?\}$`)
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
	s := caddytest.ServeSites(t, "", blocks...)
	published := 0
	for i := range 20 {
		publish(t, s.Sites[0], fmt.Sprint(i))
		published++
		if i%2 == 0 {
			publish(t, s.Sites[1], fmt.Sprint(i))
		}
		s.Load(t, blocks[0]+fmt.Sprintf(" {\nretry %dms\n}", 100+i), blocks[1])
		if got := s.Admin.Scrape(t)[`messages_published_total{hub="default"}`]; got != float64(published) {
			t.Fatalf("after reload %d: %v published, want %d", i+1, got, published)
		}
	}
	publish(t, s.Sites[1], "0") // a repeat, and the new server is there
	c := s.Sites[1].Stream(t, "/subscribe")
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{
		`messages_published_total{hub="default"}`: 20,
		`messages_published_total{hub="other"}`:   10,
		`subscribers{hub="default"}`:              0,
		`subscribers{hub="other"}`:                1,
	})
	s.Load(t, blocks[0], "respond ok")
	if _, err := c.Rest(t); err != io.EOF {
		t.Error(err)
	}
	got := s.Admin.Scrape(t)
	chattest.Expect(t, got, map[string]float64{`messages_published_total{hub="default"}`: 20})
	for name := range got {
		if strings.Contains(name, `hub="other"`) {
			t.Errorf("%s is still told", name)
		}
	}
}

// What a stream that a reload ended is counted as.
func TestStreamsClosedByReason(t *testing.T) {
	s := caddytest.ServeSites(t, "", "sse_chat {\nmax_age 1s\n}")
	old := s.Sites[0].Stream(t, "/subscribe")
	old.Rest(t)
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{`streams_closed_total{hub="default",reason="max_age"}`: 1})
	s.Load(t, "sse_chat {\npark off\n}")
	publish(t, s.Sites[0], "1")
	reloaded := s.Sites[0].Stream(t, "/subscribe")
	s.Load(t, "sse_chat {\nretry 1s\n}")
	reloaded.Rest(t)
	chattest.Eventually(t, "the stream is counted", func() bool {
		return s.Admin.Scrape(t)[`streams_closed_total{hub="default",reason="reload"}`] == 1
	})
}
