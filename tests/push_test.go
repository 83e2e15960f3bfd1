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
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
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
	t.Cleanup(hub.SettleIn(0))
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
	if p := kim.Wait(t, 1); p.Payload["text"] != "two" || p.At.Sub(begin) < 11*time.Second {
		t.Errorf("who left a moment ago is pushed %v after %s", p.Payload, p.At.Sub(begin))
	}
}

// In a room of which only mentions are pushed, it takes one, by the rules of the page.
func TestMentionsArePushed(t *testing.T) {
	s := servePush(t, "")
	kim := s.subscribe(t, "?room=all&room=tea&mentions=tea&name=김철수", "kim")
	s.say(t, "tea", "nothing for 김철수", "lee")
	s.say(t, "tea", "@김철수민 is somebody else", "lee")
	s.say(t, "tea", "tea for @김철수님에게", "lee")
	if p := kim.Wait(t, 1); p.Payload["text"] != "tea for @김철수님에게" {
		t.Errorf("pushed is %v", p.Payload)
	}
	s.say(t, "all", "no mention", "lee")
	kim.Wait(t, 2)
}

// A matcher that keeps people out of a room keeps their subscriptions out, in whatever form.
func TestMatchersOfRoomsHoldForPush(t *testing.T) {
	service := newPushService(t)
	sites := caddytest.ServeSites(t, "storage file_system "+t.TempDir()+"\n",
		"route {\n@staff query room=staff\nrespond @staff \"staff only\" 401\nsse_chat {\npush "+contact+"\n}\n}")
	b := service.Subscribe()
	for query, status := range map[string]int{
		"?room=tea&room=staff":                         401,
		"?room=tea&mentions=staff&name=kim":            400,
		"?mentions=staff&name=kim":                     400,
		"?room=tea&room=staff&mentions=staff&name=kim": 401,
		"?room=tea&room=lobby&mentions=tea&name=kim":   200,
	} {
		if a := sites.Sites[0].Do(t, http.MethodPut, "/push"+query, b.JSON(), keyOf("kim")); a.Status != status {
			t.Errorf("%s: %d %s, want %d", query, a.Status, a.Body, status)
		}
	}
}

// The repeat of a message, an edit, a reaction, a deletion and a signal are not pushed, and of
// a batch its newest message is.
func TestOnlyNewMessagesArePushed(t *testing.T) {
	s := servePush(t, "")
	kim := s.subscribe(t, "?room=a&room=b&room=c", "kim")
	header := keyOf("lee")
	body := `{"text":"one","nonce":"n"}`
	m := s.Do(t, http.MethodPost, "/update?room=a", body, header).Stored(t)
	kim.Wait(t, 1)
	for _, request := range []struct{ method, path, body string }{
		{http.MethodPost, "/update?room=b", `{"signal":"typing"}`},
		{http.MethodPost, "/update?room=a", body},
		{http.MethodPatch, "/update?room=a&id=" + m.ID, `{"text":"two"}`},
		{http.MethodPatch, "/update?room=a&id=" + m.ID, `{"append":"two"}`},
		{http.MethodPatch, "/update?room=a&id=" + m.ID, `{"react":"👍"}`},
		{http.MethodDelete, "/update?room=a&id=" + m.ID, ""},
	} {
		if a := s.Do(t, request.method, request.path, request.body, header); a.Status > 202 {
			t.Errorf("%+v: %d %s", request, a.Status, a.Body)
		}
	}
	batch := `{"text":"first"}` + "\n" + `{"text":"second","nonce":"x"}` + "\n" + `{"data":{"n":1}}` + "\n" + `{"text":"second","nonce":"x"}`
	s.Do(t, http.MethodPost, "/update?room=c", batch, header, "Content-Type: application/x-ndjson")
	p := kim.Wait(t, 2)
	if _, hasText := p.Payload["text"]; hasText || p.Payload["room"] != "c" {
		t.Errorf("of the batch %v is pushed, want the data without a text", p.Payload)
	}
	time.Sleep(11 * time.Second) // when what was held back would come
	quiet(t, kim, 2)
}

// After the first, one push comes in ten seconds, with the newest message, unless the person is
// there by then.
func TestOnePushInTenSeconds(t *testing.T) {
	s := servePush(t, "")
	kim, lee := s.subscribe(t, "", "kim"), s.subscribe(t, "", "lee")
	for i := range 30 {
		s.say(t, "lobby", fmt.Sprint(i), "sam")
		time.Sleep(50 * time.Millisecond)
	}
	first := kim.Wait(t, 1)
	stream := s.Stream(t, "/subscribe?author="+tag(t, s.Site, "lee"))
	stream.Until(t, ":ok")
	second := kim.Wait(t, 2)
	if gap := second.At.Sub(first.At); gap < 9500*time.Millisecond || gap > 12*time.Second {
		t.Errorf("the second push comes %s after the first", gap)
	}
	if first.Payload["text"] != "0" || second.Payload["text"] != "29" || first.Payload["room"] != "lobby" {
		t.Errorf("pushed are %v and %v", first.Payload, second.Payload)
	}
	quiet(t, lee, 1)
}

// What is wrong is said, by field and value.
func TestSubscriptionsThatAreRefused(t *testing.T) {
	s := servePush(t, "rooms lobby tea-*")
	b := s.service.Subscribe()
	kim := keyOf("kim")
	many := "?x=1"
	for i := range 101 {
		many += fmt.Sprintf("&room=tea-%d", i)
	}
	for _, test := range []struct {
		method, path, body string
		header             []string
		status             int
		says               string
	}{
		{http.MethodPut, "/push", b.JSON(), nil, 403, "key"},
		{http.MethodPut, "/push", b.JSON(), []string{"Authorization: Bearer x"}, 403, "key"},
		{http.MethodPut, "/push", b.JSON(), []string{"Authorization: Author-Key short"}, 400, "Author-Key"},
		{http.MethodPut, "/push?room=staff", b.JSON(), []string{kim}, 403, "staff"},
		{http.MethodPut, "/push?room=staff&mentions=staff&name=kim", b.JSON(), []string{kim}, 403, "staff"},
		{http.MethodPut, "/push?room=a b", b.JSON(), []string{kim}, 400, "room"},
		{http.MethodPut, "/push?room=", b.JSON(), []string{kim}, 400, "room"},
		{http.MethodPut, "/push?mentions=&name=kim", b.JSON(), []string{kim}, 400, "mentions"},
		{http.MethodPut, "/push?mentions=tea-1&name=kim", b.JSON(), []string{kim}, 400, `mentions: "tea-1"`},
		{http.MethodPut, "/push?room=lobby&mentions=tea-1&name=kim", b.JSON(), []string{kim}, 400, `mentions: "tea-1"`},
		{http.MethodPut, "/push?mentions=lobby", b.JSON(), []string{kim}, 400, "name: missing"},
		{http.MethodPut, "/push?room=tea-1&mentions=tea-1", b.JSON(), []string{kim}, 400, "name: missing"},
		{http.MethodPut, "/push?room=tea-1&mentions=tea-1&name=%00", b.JSON(), []string{kim}, 400, "name"},
		{http.MethodPut, "/push" + many, b.JSON(), []string{kim}, 400, "100"},
		{http.MethodPut, "/push?a=%zz", b.JSON(), []string{kim}, 400, "query"},
		{http.MethodPut, "/push", "", []string{kim}, 400, "the body"},
		{http.MethodPut, "/push", "{}", []string{kim}, 400, "endpoint"},
		{http.MethodPut, "/push", `{"endpoint":"https://192.168.0.1/"}`, []string{kim}, 400, "keys"},
		{http.MethodPut, "/push", strings.Replace(b.JSON(), "localhost", "192.168.0.1", 1), []string{kim}, 400, "192.168.0.1"},
		{http.MethodPut, "/push", strings.Replace(b.JSON(), "localhost", "0x7f.1", 1), []string{kim}, 400, "0x7f.1"},
		{http.MethodPut, "/push", strings.Replace(b.JSON(), "https", "http", 1), []string{kim}, 400, "https://"},
		{http.MethodPut, "/push", b.JSON() + strings.Repeat(" ", 4096), []string{kim}, 413, "4096"},
		{http.MethodPut, "/push", b.JSON(), []string{kim, "Content-Encoding: gzip"}, 415, "gzip"},
		{http.MethodPut, "/push", b.JSON(), []string{kim, "Origin: https://evil.example"}, 403, "origin"},
		{http.MethodDelete, "/push", "", nil, 400, "the body"},
		{http.MethodDelete, "/push", "{}", nil, 400, "endpoint"},
		{http.MethodPost, "/push", "{}", []string{kim}, 405, "POST"},
		{http.MethodPatch, "/push", "{}", []string{kim}, 405, "PATCH"},
		{http.MethodHead, "/push", "", nil, 405, ""},
	} {
		a := s.Do(t, test.method, strings.ReplaceAll(test.path, " ", "%20"), test.body, test.header...)
		if a.Status != test.status || test.method != http.MethodHead && !strings.Contains(a.ErrorText(t), test.says) {
			t.Errorf("%s %.60s %.60s: %d %s, want %d and %q", test.method, test.path, test.body, a.Status, a.Body, test.status, test.says)
		}
		if allow := a.Header.Get("Allow"); test.status == 405 && allow != "GET, PUT, DELETE" {
			t.Errorf("Allow is %q", allow)
		}
	}
	if got := s.put(t, b, "?room=tea-1&room=lobby&mentions=lobby&name=kim", kim); got != `{"rooms":["tea-1"],"mentions":["lobby"]}` {
		t.Errorf("the answer is %s", got)
	}
	if got := s.put(t, b, "", kim); got != `{"rooms":["lobby"],"mentions":[]}` {
		t.Errorf("the answer is %s", got)
	}
	s.say(t, "tea-1", "no more", "lee")
	quiet(t, b, 0)
	if a := s.Do(t, http.MethodDelete, "/push", fmt.Sprintf(`{"endpoint":%q}`, b.Endpoint)); a.Status != 200 || a.Body != "{}" {
		t.Errorf("DELETE: %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodDelete, "/push", `{"endpoint":"https://push.example/unknown"}`); a.Status != 200 || a.Body != "{}" {
		t.Errorf("DELETE of what is unknown: %d %s", a.Status, a.Body)
	}
	s.say(t, "lobby", "forgotten", "lee")
	quiet(t, b, 0)
}

// Other origins may subscribe if origins lists them.
func TestSubscriptionsOfOtherOrigins(t *testing.T) {
	s := servePush(t, "origins https://app.example")
	a := s.Do(t, http.MethodOptions, "/push", "", "Origin: https://app.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization")
	if a.Header.Get("Access-Control-Allow-Methods") != "PUT" || a.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("a preflight is answered %d %v", a.Status, a.Header)
	}
	s.put(t, s.service.Subscribe(), "", keyOf("kim"), "Origin: https://app.example")
	if a := s.Do(t, http.MethodPost, "/push", ""); a.Status != 405 || a.Header.Get("Allow") != "GET, PUT, DELETE, OPTIONS" {
		t.Errorf("POST: %d %v", a.Status, a.Header)
	}
}

// Subscriptions of a client are limited, by rate or else by a limit of their own.
func TestTheRateOfSubscriptions(t *testing.T) {
	for options, most := range map[string]int{"": 30, "rate 3 1m": 3} {
		s := servePush(t, options)
		b := s.service.Subscribe()
		for i := range most {
			if a := s.Do(t, http.MethodPut, "/push", b.JSON(), keyOf("kim")); a.Status != 200 {
				t.Fatalf("%q: request %d: %d %s", options, i+1, a.Status, a.Body)
			}
		}
		if a := s.Do(t, http.MethodPut, "/push", b.JSON(), keyOf("kim")); a.Status != 429 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%q: one too many: %d %s", options, a.Status, a.Body)
		}
		if a := s.Do(t, http.MethodDelete, "/push", b.JSON()); a.Status != 429 {
			t.Errorf("%q: one too many DELETE: %d %s", options, a.Status, a.Body)
		}
		if a := s.Do(t, http.MethodGet, "/push", ""); a.Status != 200 {
			t.Errorf("%q: GET: %d %s", options, a.Status, a.Body)
		}
	}
}

// Without the option the path is not ours, and what is wrong with it is a config error.
func TestTheOptionPush(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		if a := s.Do(t, method, "/push", ""); a.Status != 418 {
			t.Errorf("%s without the option: %d %s", method, a.Status, a.Body)
		}
	}
	for options, says := range map[string]string{
		"push":                           "wrong argument count",
		"push a@example.com":             `"a@example.com" is no contact for push services: give mailto:you@example.com or https://`,
		"push http://example.com":        "https:",
		"push mailto:a@example.com more": "wrong argument count",
		"push mailto:a@example.com\npush mailto:a@example.com": "already specified",
		"push mailto:a@example.com\nhistory /push":             "/push is already in use",
		"subscribe /push\npush https://example.com/about-us":   "/push is already in use",
		"push mailto:a@example.com {\nkey x\n}":                "unrecognized subdirective",
		"push \"\"":                                            "must not be empty",
	} {
		_, err := caddytest.Adapt("http://127.0.0.1:1 {\nsse_chat {\n" + options + "\n}\n}\n")
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%q: %v, want %q with file and line", options, err, says)
		}
	}
}
