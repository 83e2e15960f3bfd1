package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/push"
)

const contact = "mailto:admin@example.com"

// keyOf returns the header with an author's key of a person.
func keyOf(person string) string {
	return "Authorization: Author-Key " + person + strings.Repeat("-", 22)
}

// tag returns the author's tag of a person.
func tag(t *testing.T, s *chattest.Site, person string) string {
	t.Helper()
	var m struct{ Author string }
	s.Do(t, http.MethodPost, "/update?room=tag", `{"text":"x"}`, keyOf(person)).Decode(t, &m)
	return m.Author
}

// newPushService starts a push service that pushes may be sent to.
func newPushService(t *testing.T) *pushtest.Service {
	t.Helper()
	service := pushtest.Start(t)
	t.Cleanup(push.Allow(service.Roots, nil, netip.MustParseAddr("127.0.0.1")))
	return service
}

// pushSite is a site with the option, whose subscriptions are in a folder of the test.
type pushSite struct {
	*chattest.Site
	*caddytest.Sites
	service *pushtest.Service
	block   string
}

func servePush(t *testing.T, options string) *pushSite {
	t.Helper()
	service := newPushService(t)
	block := "sse_chat {\npush " + contact + "\n" + options + "\n}\nrespond \"next\" 418"
	sites := caddytest.ServeSites(t, "storage file_system "+t.TempDir()+"\n", "route {\n"+block+"\n}")
	s := &pushSite{sites.Sites[0], sites, service, block}
	service.Key, service.Contact = s.key(t), contact
	return s
}

// key returns the public key for browsers.
func (s *pushSite) key(t *testing.T) string {
	t.Helper()
	var answer struct{ Key string }
	s.Do(t, http.MethodGet, "/push", "").Decode(t, &answer)
	return answer.Key
}

// subscribe subscribes a new browser of a person to rooms.
func (s *pushSite) subscribe(t *testing.T, query, person string) *pushtest.Browser {
	t.Helper()
	b := s.service.Subscribe()
	s.put(t, b, query, keyOf(person))
	return b
}

func (s *pushSite) put(t *testing.T, b *pushtest.Browser, query string, header ...string) string {
	t.Helper()
	a := s.Do(t, http.MethodPut, "/push"+query, b.JSON(), header...)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("PUT /push%s: %d %s", query, a.Status, a.Body)
	}
	return a.Body
}

// say publishes in a room.
func (s *pushSite) say(t *testing.T, room, text, person string) string {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"text": text, "name": person})
	var m struct{ ID string }
	s.Do(t, http.MethodPost, "/update?room="+room, string(body), keyOf(person)).Decode(t, &m)
	return m.ID
}

// failed returns how many pushes have failed for a reason.
func (s *pushSite) failed(t *testing.T, reason string) float64 {
	t.Helper()
	return s.Admin.Scrape(t)[`push_failed_total{hub="default",reason="`+reason+`"}`]
}

// quiet waits long enough for a push that must not come.
func quiet(t *testing.T, b *pushtest.Browser, n int) {
	t.Helper()
	time.Sleep(500 * time.Millisecond)
	if got := b.Got(); len(got) != n {
		t.Errorf("%d pushes came, want %d: %+v", len(got), n, got)
	}
}

// Who is away is told what is said, once, and nobody is told what they say themselves.
func TestWhoIsAwayIsPushed(t *testing.T) {
	s := servePush(t, "")
	kim, lee := s.subscribe(t, "?room=tea", "kim"), s.subscribe(t, "?room=tea", "lee")
	id := s.say(t, "tea", "tea is ready", "lee")
	p := kim.Wait(t, 1)
	want := map[string]string{"room": "tea", "name": "lee", "text": "tea is ready", "id": id, "author": tag(t, s.Site, "lee")}
	if fmt.Sprint(p.Payload) != fmt.Sprint(want) {
		t.Errorf("the payload is %v, want %v", p.Payload, want)
	}
	s.say(t, "coffee", "elsewhere", "lee")
	quiet(t, lee, 0)
	quiet(t, kim, 1)
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{
		`push_sent_total{hub="default"}`: 1, `push_failed_total{hub="default",reason="gone"}`: 0,
	})
}

// Nobody with a stream is pushed, in whatever room it is; who has just left is, unless they
// come back.
func TestWhoIsHereIsNotPushed(t *testing.T) {
	s := servePush(t, "")
	kim, lee := s.subscribe(t, "?room=tea", "kim"), s.subscribe(t, "?room=tea", "lee")
	stream := s.Stream(t, "/subscribe?room=other&events=1&author="+tag(t, s.Site, "kim"))
	stream.Until(t, "hello")
	s.say(t, "tea", "one", "sam")
	lee.Wait(t, 1)
	quiet(t, kim, 0)
	stream.Close()
	begin := time.Now()
	chattest.Eventually(t, "the stream is gone", func() bool { return caddytest.Hub(t, "default").Subscribers == 0 })
	s.say(t, "tea", "two", "sam")
	if p := kim.Wait(t, 1); p.Payload["text"] != "two" || p.At.Sub(begin) < 4*time.Second {
		t.Errorf("who left a moment ago is pushed %v after %s", p.Payload, p.At.Sub(begin))
	}
}
