package tests

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// A reload keeps the subscriptions, the key, what waits and who was pushed lately.
func TestPushOverReloads(t *testing.T) {
	s := servePush(t, "")
	kim := s.subscribe(t, "", "kim")
	s.say(t, "lobby", "1", "lee")
	first := kim.Wait(t, 1)
	s.say(t, "lobby", "2", "lee")
	for _, options := range []string{"heartbeat 20s", "heartbeat 21s"} {
		s.Load(t, "route {\nsse_chat {\npush "+contact+"\n"+options+"\n}\n}")
	}
	if key := s.key(t); key != s.service.Key {
		t.Errorf("the key is %s, want %s", key, s.service.Key)
	}
	second := kim.Wait(t, 2)
	if gap := second.At.Sub(first.At); gap < 9*time.Second || second.Payload["text"] != "2" {
		t.Errorf("%v comes after %s", second.Payload, gap)
	}
	// without the option nothing is pushed, and with it again the subscriptions are there
	s.Load(t, "route {\nsse_chat\nrespond next 418\n}")
	if a := s.Do(t, http.MethodGet, "/push", ""); a.Status != 418 {
		t.Errorf("without the option: %d", a.Status)
	}
	s.say(t, "lobby", "3", "lee")
	quiet(t, kim, 2)
	s.Load(t, "route {\n"+s.block+"\n}")
	s.say(t, "lobby", "4", "lee")
	if p := kim.Wait(t, 3); p.Payload["text"] != "4" {
		t.Errorf("pushed is %v", p.Payload)
	}
}

// What another site of the hub publishes is pushed too, also if that site takes no
// subscriptions.
func TestPushOfAnotherSiteOfTheHub(t *testing.T) {
	service := newPushService(t)
	sites := caddytest.ServeSites(t, "storage file_system "+t.TempDir()+"\n", "sse_chat {\npush "+contact+"\nrooms orders\n}", "sse_chat")
	s := &pushSite{Site: sites.Sites[0], Sites: sites, service: service}
	kim := s.subscribe(t, "?room=orders", "kim")
	m := sites.Sites[1].Post(t, "/update?room=orders", "order 17")
	if p := kim.Wait(t, 1); p.Payload["id"] != m.ID || p.Payload["name"] != "" {
		t.Errorf("pushed is %v", p.Payload)
	}
}

// Behind a login, the login is who somebody is: for subscriptions, for mentions, for who is
// here, and for what is their own.
func TestPushBehindALogin(t *testing.T) {
	service := newPushService(t)
	block := `basic_auth {
		kim $2a$10$Fy5ZwI0YLh7WeS8Pv5Op/.7yZBfs.i8qYpkiafG/zIaBQPmunTBf6
		lee $2a$10$36NfC0qs/VKAmJPFbnpWXumFX5YaCy8.QkWP/1R1ZQs.nLEEACv4a
	}
	sse_chat {
		push ` + contact + `
		name {http.auth.user.id}
		rooms lobby inbox-{http.auth.user.id}
	}`
	sites := caddytest.ServeSites(t, "storage file_system "+t.TempDir()+"\n", block)
	s := &pushSite{Site: sites.Sites[0], Sites: sites, service: service}
	login := func(user, password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	kim, lee := login("kim", "hiccup"), login("lee", "sneeze")
	if a := s.Do(t, http.MethodGet, "/push", ""); a.Status != http.StatusUnauthorized {
		t.Errorf("without a login: %d", a.Status)
	}
	if a := s.Do(t, http.MethodPut, "/push?room=inbox-lee", service.Subscribe().JSON(), kim); a.Status != http.StatusForbidden {
		t.Errorf("the inbox of somebody else: %d %s", a.Status, a.Body)
	}
	// the name that the client gives does not count, and neither does an author's key
	phone, laptop := service.Subscribe(), service.Subscribe()
	s.put(t, phone, "?room=inbox-kim&room=lobby&mentions=lobby&name=lee", kim, keyOf("lee"))
	s.put(t, laptop, "", lee)
	say := func(text, who string) {
		body, _ := json.Marshal(map[string]string{"text": text})
		if a := s.Do(t, http.MethodPost, "/update", string(body), who); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	say("@lee is no mention of kim", kim)
	laptop.Wait(t, 1)
	say("tea, @kim?", lee)
	if p := phone.Wait(t, 1); p.Payload["name"] != "lee" || p.Payload["author"] != "" || p.Payload["text"] != "tea, @kim?" {
		t.Errorf("pushed is %v", p.Payload)
	}
	quiet(t, laptop, 1)
	stream := s.Stream(t, "/subscribe?room=inbox-kim", kim)
	stream.Until(t, ":ok")
	time.Sleep(10 * time.Second)
	say("now, @kim!", lee)
	quiet(t, phone, 1)
}

// An operator can forget the subscriptions of a name or of an author's key.
func TestSubscriptionsAreForgottenByAnOperator(t *testing.T) {
	s := servePush(t, "")
	kim, lee := s.subscribe(t, "", "kim"), s.subscribe(t, "", "lee")
	for query, status := range map[string]int{
		"": 400, "?name=": 400, "?author=x": 400, "?name=a&author=0123456789a": 400, "?name=%00": 400, "?author=%zz": 400,
		"?name=kim":                        204, // of whom there is none: kim is the name of a key
		"?author=" + tag(t, s.Site, "kim"): 204,
	} {
		if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/push"+query, ""); a.Status != status {
			t.Errorf("%q: %d %s, want %d", query, a.Status, a.Body, status)
		}
	}
	if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/other/push?name=kim", ""); a.Status != 404 {
		t.Errorf("an unknown hub: %d %s", a.Status, a.Body)
	}
	s.say(t, "lobby", "1", "sam")
	lee.Wait(t, 1)
	quiet(t, kim, 0)
}

// A push service that hangs delays an exit by a second.
func TestAnExitWaitsASecondForPushes(t *testing.T) {
	s := servePush(t, "")
	kim := s.subscribe(t, "", "kim")
	release := make(chan struct{})
	defer close(release)
	kim.Answer(func(http.ResponseWriter, *http.Request) { <-release })
	s.say(t, "lobby", "1", "lee")
	kim.Wait(t, 1)
	begin := time.Now()
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < time.Second/2 || took > 3*time.Second {
		t.Errorf("the exit takes %s", took)
	}
}

// A configuration that is loaded, or only validated, writes nothing into the storage.
func TestNothingIsStoredBeforeItIsNeeded(t *testing.T) {
	dir := t.TempDir()
	sites := caddytest.ServeSites(t, "storage file_system "+dir+"\n", "sse_chat {\npush "+contact+"\n}")
	site := sites.Sites[0]
	site.Post(t, "/update", "nobody has subscribed")
	time.Sleep(100 * time.Millisecond)
	stored := func() bool {
		_, err := os.Stat(filepath.Join(dir, "sse_chat"))
		return err == nil
	}
	if stored() {
		t.Error("there is something in the storage")
	}
	if a := site.Do(t, http.MethodGet, "/push", ""); a.Status != http.StatusOK || !stored() {
		t.Errorf("GET /push: %d %s, and something is stored: %t", a.Status, a.Body, stored())
	}
	// a key that is damaged is an error, and no other key; clients are not told where it is
	file := filepath.Join(dir, "sse_chat", "push", "vapid.pem")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	sites.Load(t, "sse_chat {\npush "+contact+"\nheartbeat 20s\n}")
	if a := site.Do(t, http.MethodGet, "/push", ""); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || strings.Contains(a.Body, "vapid") {
		t.Errorf("GET /push with a damaged key: %d %s", a.Status, a.Body)
	}
	if kept, err := os.ReadFile(file); err != nil || string(kept) != "x" {
		t.Errorf("the damaged key is now %q (%v)", kept, err)
	}
}

// If the storage fails, clients are told to try again, and not where it is.
func TestAStorageThatFailsPush(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sse_chat"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := caddytest.ServeSites(t, "storage file_system "+dir+"\n", "sse_chat {\npush "+contact+"\n}").Sites[0]
	b := newPushService(t).Subscribe()
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		a := s.Do(t, method, "/push", b.JSON(), keyOf("kim"))
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "2" {
			t.Errorf("%s: %d %s", method, a.Status, a.Body)
		}
		if says := a.ErrorText(t); strings.Contains(says, "/") || !strings.Contains(says, "try again") {
			t.Errorf("%s says %q", method, says)
		}
	}
	if err := os.Remove(filepath.Join(dir, "sse_chat")); err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t, http.MethodPut, "/push", b.JSON(), keyOf("kim")); a.Status != http.StatusOK {
		t.Errorf("a storage that works again: %d %s", a.Status, a.Body)
	}
}

// A login that was just kicked subscribes to nothing.
func TestAKickedLoginCannotSubscribeToPush(t *testing.T) {
	s := servePush(t, "name {query.as}")
	b := s.service.Subscribe()
	s.put(t, b, "?as=kim")
	if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=kim", ""); a.Status != http.StatusNoContent {
		t.Fatalf("kicking: %d %s", a.Status, a.Body)
	}
	if a := s.Do(t, http.MethodPut, "/push?as=kim", b.JSON()); a.Status != http.StatusForbidden || !strings.Contains(a.ErrorText(t), "kim") {
		t.Errorf("who was kicked: %d %s", a.Status, a.Body)
	}
	s.put(t, b, "?as=lee")
}
