package chattest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Hub is what the admin API tells about a hub.
type Hub struct {
	Name, Store string
	StoreUp     bool `json:"store_up"`
	Rooms       int
	Subscribers int
	Counters    Counters
}

// Counters are the counters of a hub. Those with several kinds are by reason.
type Counters struct {
	Published     int            `json:"messages_published"`
	Delivered     int            `json:"messages_delivered"`
	StreamsOpened int            `json:"streams_opened"`
	StreamsClosed map[string]int `json:"streams_closed"`
	Rejected      map[string]int `json:"publish_rejected"`
}

// Hubs asks an admin API for all hubs that are open, in the order of their names.
func (s *Site) Hubs(t testing.TB) (list []Hub) {
	t.Helper()
	s.Do(t, http.MethodGet, "/sse_chat/hubs", "").Decode(t, &list)
	return list
}

// Hub asks an admin API for one hub, which must be open.
func (s *Site) Hub(t testing.TB, name string) Hub {
	t.Helper()
	list := s.Hubs(t)
	i := slices.IndexFunc(list, func(h Hub) bool { return h.Name == name })
	if i < 0 {
		t.Fatalf("no hub %q is open, only %+v", name, list)
	}
	return list[i]
}

// EndStreams has an admin API end streams of a hub: name=kim, room=tea, or all.
func (s *Site) EndStreams(t testing.TB, hub, whose string) {
	t.Helper()
	s.remove(t, "/sse_chat/hubs/"+hub+"/subscribers?"+whose)
}

// DeleteMessage has an admin API delete a message of a hub.
func (s *Site) DeleteMessage(t testing.TB, hub, id string) {
	t.Helper()
	s.remove(t, "/sse_chat/hubs/"+hub+"/messages/"+id)
}

// ForgetRoom has an admin API forget all messages of a room.
func (s *Site) ForgetRoom(t testing.TB, hub, room string) {
	t.Helper()
	s.remove(t, "/sse_chat/hubs/"+hub+"/rooms/"+room)
}

func (s *Site) remove(t testing.TB, path string) {
	t.Helper()
	if a := s.Do(t, http.MethodDelete, path, ""); a.Status != http.StatusNoContent {
		t.Fatalf("DELETE %s: %d %s", path, a.Status, a.Body)
	}
}

// Scrape returns the metrics of sse_chat from an admin API, without the prefix
// of their names.
func (s *Site) Scrape(t testing.TB) map[string]float64 {
	t.Helper()
	a := s.Do(t, http.MethodGet, "/metrics", "")
	if a.Status != http.StatusOK {
		t.Fatalf("GET /metrics: %d %s", a.Status, a.Body)
	}
	samples := make(map[string]float64)
	for line := range strings.Lines(a.Body) {
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

// Expect fails if samples are not what they should be.
func Expect(t testing.TB, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if n, ok := got[name]; !ok || n != value {
			t.Errorf("%s is %v (there: %t), want %v", name, n, ok, value)
		}
	}
}
