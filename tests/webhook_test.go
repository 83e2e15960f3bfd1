package tests

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// probe waits until a backend is told of what is published now: without a past, it is told
// nothing of what comes before that.
func probe(t *testing.T, s *chattest.Site, b *chattest.Backend) {
	t.Helper()
	for i := 0; ; i++ {
		text := fmt.Sprint("probe ", i)
		s.Post(t, "/update?room=probes", text)
		for begin := time.Now(); time.Since(begin) < time.Second; time.Sleep(5 * time.Millisecond) {
			if slices.Contains(b.Texts("probes"), text) {
				return
			}
		}
		if i == 30 {
			t.Fatal("the backend is told nothing")
		}
	}
}

// told waits until a backend has messages with these texts in a room, and no others.
func told(t *testing.T, b *chattest.Backend, room string, want ...string) {
	t.Helper()
	var got []string
	for begin := time.Now(); time.Since(begin) < chattest.Patience; time.Sleep(5 * time.Millisecond) {
		if got = b.Texts(room); slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("room %s: the backend has %.500q, want %.500q", room, got, want)
}

// A backend is told of what happens in all rooms, in order, and signed.
func TestAWebhookTellsWhatHappens(t *testing.T) {
	for name, options := range map[string]string{"memory": "", "bolt": "store bolt " + filepath.Join(t.TempDir(), "chat.db")} {
		t.Run(name, func(t *testing.T) {
			b := chattest.NewBackend(t, "s3cret")
			s := caddytest.ServeSites(t, "", "sse_chat {\n"+options+"\nwebhook "+b.URL+"/hook?x=y s3cret\n}")
			chat := s.Sites[0]
			probe(t, chat, b)
			begin := len(b.Items())
			first := post(t, chat, "/update", `{"text":"one","name":"kim","nonce":"n"}`, keyOfKim)
			tea := post(t, chat, "/update?room=tea", `{"text":"two","data":{"a":[1]},"event":"order"}`, keyOfKim)
			gone := post(t, chat, "/update?room=방", `{"text":"three"}`, keyOfKim)
			chattest.Eventually(t, "three messages are told", func() bool { return len(b.Items()) == begin+3 })
			for _, step := range []struct{ method, path, body string }{
				{http.MethodPatch, "/update?id=" + first.ID, `{"append":" more"}`},
				{http.MethodPatch, "/update?id=" + first.ID, `{"react":"👍"}`},
				{http.MethodDelete, "/update?room=방&id=" + gone.ID, ""},
			} {
				was := len(b.Items())
				if a := chat.Do(t, step.method, step.path, step.body, keyOfKim); a.Status != http.StatusOK {
					t.Fatalf("%s: %d %s", step.method, a.Status, a.Body)
				}
				chattest.Eventually(t, "the change is told", func() bool { return len(b.Items()) == was+1 })
			}
			if a := s.Admin.Do(t, http.MethodDelete, "/sse_chat/hubs/default/rooms/tea", ""); a.Status != http.StatusNoContent {
				t.Fatal(a)
			}
			chattest.Eventually(t, "the forgotten room is told", func() bool { return len(b.Items()) == begin+7 })
			var got []string
			for _, i := range b.Items()[begin:] {
				got = append(got, fmt.Sprintf("%s %s %s%s %s", i.Type, i.Room, i.ID, i.Through, i.Message))
			}
			author := `"name":"kim","nonce":"n","author":"` + authorOf(t, chat, first.ID) + `"`
			for i, want := range []string{
				`message lobby  {"text":"one","timestamp":\d+,"id":"` + first.ID + `",` + author + `}`,
				`message tea  {"text":"two","timestamp":\d+,"id":"` + tea.ID + `","room":"tea","author":"[^"]+","event":"order","data":{"a":\[1\]}}`,
				`message 방  {"text":"three","timestamp":\d+,"id":"` + gone.ID + `","room":"방","author":"[^"]+"}`,
				`change lobby  {"text":"one more",.*` + author + `,"edited":\d+}`,
				`change lobby  {"text":"one more",.*"reactions":{"👍":{"count":1,"by":\["[^"]+"\]}}}`,
				`delete 방 ` + gone.ID + ` `,
				`delete tea ` + tea.ID + ` `,
			} {
				if !regexp.MustCompile("^" + want + "$").MatchString(got[i]) {
					t.Errorf("item %d is %s\nwant %s", i, got[i], want)
				}
			}
			told(t, b, "tea")
			told(t, b, "lobby", "one more")
		})
	}
}

func authorOf(t *testing.T, s *chattest.Site, id string) string {
	t.Helper()
	body := s.Do(t, http.MethodGet, "/history", "").Body
	found := regexp.MustCompile(id + `"[^}]*"author":"([^"]+)"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no author of %s in %s", id, body)
	}
	return found[1]
}

// Whatever a publisher was told is stored is told to the backend, however often the process
// is killed or the backend fails.
func TestAWebhookLosesNothingWhenTheProcessIsKilled(t *testing.T) {
	addr, b := chattest.FreeAddr(t), chattest.NewBackend(t, "")
	block := fmt.Sprintf("sse_chat {\nstore bolt %s\nwebhook %s\n}", filepath.Join(t.TempDir(), "chat.db"), b.URL)
	var want []string
	for round := range 12 {
		p := caddytest.Start(t, "http://"+addr, block)
		if round == 0 {
			probe(t, p.Site, b)
		}
		if b.Answer(nil); round%3 == 1 {
			b.AnswerStatus(http.StatusBadGateway)
		}
		for i := range 30 {
			text := fmt.Sprint(round, " ", i)
			p.Post(t, "/update?room=tea", text)
			want = append(want, text)
		}
		if round%4 == 3 {
			p.Terminate(t)
		} else {
			p.Kill(t)
		}
	}
	b.Answer(nil)
	p := caddytest.Start(t, "http://"+addr, block)
	told(t, b, "tea", want...)
	p.Terminate(t)
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("it was told of gaps: %q", gaps)
	}
}

// What retention took while the backend was away is told as a gap, and then the rest.
func TestAWebhookTellsOfAGap(t *testing.T) {
	for name, options := range map[string]string{"memory": "", "bolt": "store bolt " + filepath.Join(t.TempDir(), "chat.db")} {
		t.Run(name, func(t *testing.T) {
			b := chattest.NewBackend(t, "")
			s := caddytest.Serve(t, "retain 10\n"+options+"\nwebhook "+b.URL)
			probe(t, s, b)
			b.AnswerStatus(http.StatusServiceUnavailable)
			lines := strings.Repeat(`{"text":"x"}`+"\n", 100)
			for range 20 { // more than is held in memory
				if a := s.Do(t, http.MethodPost, "/update?room=tea", lines, "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
					t.Fatal(a)
				}
			}
			s.Post(t, "/update?room=tea", "last")
			b.Answer(nil)
			chattest.Eventually(t, "the last message is told", func() bool { return slices.Contains(b.Texts("tea"), "last") })
			if gaps := b.Gaps(); !slices.Equal(gaps, []string{"expired"}) {
				t.Errorf("it was told of the gaps %q", gaps)
			}
			items := b.Items()
			at := slices.IndexFunc(items, func(i chattest.BackendItem) bool { return i.Type == "gap" })
			if rest := len(items) - at - 1; rest < 10 || rest > 1100 {
				t.Errorf("after the gap it was told of %d messages", rest)
			}
		})
	}
}

// A backend that keeps up is told of everything, even if the hub keeps nothing.
func TestAWebhookOfAHubThatKeepsNothing(t *testing.T) {
	b := chattest.NewBackend(t, "")
	s := caddytest.Serve(t, "retain 0\nwebhook "+b.URL)
	probe(t, s, b)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		s.Post(t, "/update?room=tea", fmt.Sprint(i))
	}
	told(t, b, "tea", want...)
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("it was told of gaps: %q", gaps)
	}
}

// A reload that changes the webhook goes on where it was. One that takes it out, and one that
// puts it back, begin anew.
func TestAWebhookOverReloads(t *testing.T) {
	for name, options := range map[string]string{"memory": "", "bolt": "store bolt " + filepath.Join(t.TempDir(), "chat.db")} {
		t.Run(name, func(t *testing.T) {
			first, second := chattest.NewBackend(t, "a"), chattest.NewBackend(t, "b")
			with := func(b *chattest.Backend, secret string) string {
				return "route {\nsse_chat /none {\n" + options + "\n}\nsse_chat {\n" + options + "\nwebhook " + b.URL + " " + secret + "\n}\n}"
			}
			s := caddytest.Reserve(t)
			caddytest.Load(t, s, with(first, "a"))
			probe(t, s, first)
			s.Post(t, "/update?room=tea", "1")
			told(t, first, "tea", "1")
			first.AnswerStatus(http.StatusInternalServerError)
			s.Post(t, "/update?room=tea", "2")
			before := first.Requests()
			chattest.Eventually(t, "it has failed", func() bool { return first.Requests() > before })
			caddytest.Load(t, s, with(second, "b"))
			told(t, second, "tea", "2")
			s.Post(t, "/update?room=tea", "3")
			told(t, second, "tea", "2", "3")
			caddytest.Load(t, s, with(second, "b")+"\nrespond x")
			s.Post(t, "/update?room=tea", "4")
			told(t, second, "tea", "2", "3", "4")

			caddytest.Load(t, s, "sse_chat {\n"+options+"\n}")
			s.Post(t, "/update?room=tea", "5")
			if a := caddytest.Hub(t, "default"); a.Store == "" {
				t.Fatal(a)
			}
			caddytest.Load(t, s, with(second, "b"))
			probe(t, s, second)
			s.Post(t, "/update?room=tea", "6")
			told(t, second, "tea", "2", "3", "4", "6")
			told(t, first, "tea", "1")
			if gaps := append(first.Gaps(), second.Gaps()...); len(gaps) > 0 {
				t.Errorf("they were told of gaps: %q", gaps)
			}
		})
	}
}

// A backend that hangs holds up neither readers nor publishers nor an exit.
func TestAWebhookThatHangs(t *testing.T) {
	b := chattest.NewBackend(t, "")
	p := caddytest.Start(t, "http://"+chattest.FreeAddr(t), "sse_chat {\nwebhook "+b.URL+"\n}")
	probe(t, p.Site, b)
	release := make(chan struct{})
	defer close(release)
	hanging := make(chan struct{}, 10)
	b.Answer(func(http.ResponseWriter, *http.Request) {
		hanging <- struct{}{}
		<-release
	})
	reader := p.Stream(t, "/subscribe")
	for i := range 20 {
		p.Post(t, "/update", fmt.Sprint(i))
		reader.Next(t)
	}
	<-hanging
	if took := p.Terminate(t); took < time.Second || took > 5*time.Second {
		t.Errorf("an exit took %s; a request may take 2 s", took)
	}
}

// Metrics tell how far a backend is behind.
func TestMetricsOfAWebhook(t *testing.T) {
	b := chattest.NewBackend(t, "")
	s := caddytest.ServeSites(t, "", "sse_chat {\nwebhook "+b.URL+"\n}")
	chat := s.Sites[0]
	probe(t, chat, b)
	const lag, failures = `webhook_lag_seconds{hub="default"}`, `webhook_failures_total{hub="default"}`
	chattest.Eventually(t, "there is no lag", func() bool { return s.Admin.Scrape(t)[lag] == 0 })
	chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{failures: 0})
	b.AnswerStatus(http.StatusTeapot)
	chat.Post(t, "/update", "x")
	chattest.Eventually(t, "lag and failures are seen", func() bool {
		now := s.Admin.Scrape(t)
		return now[lag] > 0.5 && now[lag] < 60 && now[failures] >= 1
	})
	b.Answer(nil)
	told(t, b, "lobby", "x")
	chattest.Eventually(t, "there is no lag again", func() bool { return s.Admin.Scrape(t)[lag] == 0 })
}

// What is wrong with the option is told when the configuration is loaded, without a secret.
func TestWrongWebhooks(t *testing.T) {
	t.Setenv("HOOK_EMPTY", "")
	t.Setenv("HOOK_SECRET", "geheim")
	for options, want := range map[string]string{
		"webhook":                     "wrong argument count",
		"webhook http://h s x":        "wrong argument count",
		"webhook ftp://h":             `"ftp://h" must begin with http:// or https://`,
		"webhook http://":             "must begin with http:// or https:// and a host",
		"webhook http://h/#x":         "has a fragment",
		`webhook http://h ""`:         "the secret must not be empty",
		"webhook http://h\nwebhook x": "webhook already specified",
	} {
		_, err := caddytest.Adapt(":1 {\nsse_chat {\n" + options + "\n}\n}")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:3") && !strings.Contains(err.Error(), "Caddyfile:4") {
			t.Errorf("%q: %v, want %s", options, err, want)
		}
	}
	s := caddytest.Reserve(t)
	load := func(block string) error {
		return caddytest.LoadCaddyfile(t, "{"+caddytest.GlobalOptions()+"}\n"+s.URL+" {\n"+block+"\n}")
	}
	for block, want := range map[string]string{
		"sse_chat {\nwebhook http://h {env.HOOK_EMPTY}\n}":                                                                             "webhook: the secret",
		"sse_chat {\nwebhook http://h {env.HOOK_UNSET}\n}":                                                                             "webhook: the secret",
		"sse_chat {\nwebhook {env.HOOK_SECRET}\n}":                                                                                     "webhook: the values of the placeholders make no URL",
		"sse_chat {\nwebhook http://h/{http.request.host}\n}":                                                                          "webhook: the URL",
		"route {\nsse_chat /a {\nwebhook http://h/{env.HOOK_SECRET}\n}\nsse_chat {\nwebhook http://h/{env.HOOK_SECRET} x\n}\n}":        `hub "default": its sites differ in webhook`,
		"route {\nsse_chat /a {\nwebhook http://geheim.example\nhub a\n}\nsse_chat {\nhub a\nwebhook http://{env.HOOK_SECRET}/x\n}\n}": `hub "a": its sites differ in webhook`,
	} {
		err := load(block)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v, want %s", block, err, want)
		}
	}
}
