package ssechat

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// endStreams asks the admin API to end streams of a hub.
func (s *sites) endStreams(t *testing.T, hub, whose string) {
	t.Helper()
	if a := s.admin.do(t, http.MethodDelete, "/sse_chat/hubs/"+hub+"/subscribers?"+whose, ""); a.status != http.StatusNoContent {
		t.Fatalf("ending the streams of %s: %d %s", whose, a.status, a.body)
	}
}

// One who was kicked may not write either, and is told why; others may.
func TestAKickedNamePublishesNothing(t *testing.T) {
	s := serveSites(t, "", "sse_chat {\norigins https://other.example\n}", "sse_chat {\nhub named\nname {query.as}\nrate 2 1h\n}")
	chat, named := s.sites[0], s.sites[1]
	first := chat.do(t, http.MethodPost, "/update", `{"text":"before","name":"kim","nonce":"n"}`)
	s.endStreams(t, "default", "name=kim")
	s.endStreams(t, "named", "name=kim")
	const batch, kicked = "Content-Type: application/x-ndjson", `the name \"kim\" was kicked`
	for _, test := range []struct {
		site   *site
		path   string
		body   string
		header []string
		status int
		want   string // in the answer
	}{
		{chat, "/update", `{"text":"x","name":"kim"}`, nil, http.StatusForbidden, kicked},
		{chat, "/update?room=a", `{"text":"x","name":"kim"}`, nil, http.StatusForbidden, kicked},
		{chat, "/update", `{"text":"before","name":"kim","nonce":"n"}`, nil, http.StatusForbidden, kicked},
		{chat, "/update", "{\"text\":\"x\",\"name\":\"lee\"}\n{\"text\":\"x\",\"name\":\"kim\"}\n", []string{batch}, http.StatusForbidden, kicked},
		{chat, "/update", "{\"text\":\"x\",\"name\":\"lee\"}\n{\"text\":\"x\"}\n", []string{batch}, http.StatusOK, `"text":"x"`},
		{chat, "/update", `{"text":"x","name":"lee"}`, nil, http.StatusOK, `"text":"x"`},
		{chat, "/update", `{"text":"x"}`, nil, http.StatusOK, `"text":"x"`},
		{chat, "/update?name=kim", `{"text":"x"}`, nil, http.StatusOK, `"text":"x"`}, // which is no author
		{chat, "/update", `{"text":"x"}`, []string{"Origin: https://evil.example"}, http.StatusForbidden, "cross-origin"},
		// the configuration's name counts, not the client's
		{named, "/update?as=kim", `{"text":"x","name":"lee"}`, nil, http.StatusForbidden, kicked},
		{named, "/update?as=kim", "{\"text\":\"x\"}\n", []string{batch}, http.StatusForbidden, kicked},
		{named, "/update?as=lee", `{"text":"x","name":"kim"}`, nil, http.StatusOK, `"text":"x"`},
		{named, "/update?as=lee", `{"text":"x"}`, nil, http.StatusOK, `"text":"x"`}, // refusals do not count against the rate
		{named, "/update?as=lee", `{"text":"x"}`, nil, http.StatusTooManyRequests, "too many"},
	} {
		a := test.site.do(t, http.MethodPost, test.path, test.body, test.header...)
		if a.status != test.status || !strings.Contains(a.body, test.want) {
			t.Errorf("%s %s: %d %s, want %d and %s", test.path, test.body, a.status, a.body, test.status, test.want)
		}
	}
	if got := chat.do(t, http.MethodGet, "/history", "").body; strings.Count(got, `"kim"`) != 1 || strings.Count(got, `"lee"`) != 2 || !strings.Contains(got, strings.TrimSpace(first.body)) {
		t.Errorf("stored: %s", got)
	}
	expect(t, s.scrape(t), map[string]float64{
		`publish_rejected_total{hub="default",reason="invalid"}`:      4,
		`publish_rejected_total{hub="default",reason="cross_origin"}`: 1,
		`publish_rejected_total{hub="named",reason="invalid"}`:        2,
	})
}

// HEAD tells what GET would.
func TestHEADOfAKickedName(t *testing.T) {
	s := serveSites(t, "", "sse_chat")
	s.endStreams(t, "default", "name=kim")
	for path, status := range map[string]int{"/subscribe?name=kim": http.StatusNoContent, "/subscribe?name=lee": http.StatusOK, "/subscribe": http.StatusOK} {
		if a := s.sites[0].do(t, http.MethodHead, path, ""); a.status != status {
			t.Errorf("HEAD %s: %d, want %d", path, a.status, status)
		}
	}
}

var endedAsByAReload = regexp.MustCompile(`(?:^|\n)retry: (?:[2-9]\d{2}|1\d{3}|2000)\n(?:event: bye\ndata: {"reason":"reload","retry_ms":\d+}\n\n)?$`)

// What the admin API ends comes back and misses nothing, parked or not.
func TestAdminEndsTheStreamsOfARoomOrAll(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			s := serveSites(t, "", "sse_chat {\npark "+park+"\n}", "sse_chat {\nhub other\n}")
			chat := s.sites[0]
			tea, both, lobby := chat.stream(t, "/subscribe?room=tea&name=kim"), chat.stream(t, "/subscribe?room=other&room=tea&events=1"), chat.stream(t, "/subscribe?events=1")
			elsewhere := s.sites[1].stream(t, "/subscribe?room=tea")
			last := chat.post(t, "/update?room=tea", "x")
			tea.text(t, last.ID)
			both.text(t, "event: live")
			lobby.text(t, "event: live")
			if park == "on" {
				waitParked(t, hubOf(t, "default"), 3)
			}
			s.endStreams(t, "default", "room=nobody-reads-it")
			s.endStreams(t, "default", "room=tea")
			for name, c := range map[string]*client{"tea": tea, "both": both} {
				if rest, err := c.rest(t); err != io.EOF || !endedAsByAReload.MatchString(rest) || strings.Contains(rest, "bye") != (c == both) {
					t.Errorf("the stream of %s ends with %q, %v", name, rest, err)
				}
			}
			missed := chat.post(t, "/update?room=tea", "missed")
			back := chat.stream(t, "/subscribe?room=tea&name=kim", "Last-Event-ID: "+last.ID)
			if got := back.next(t).Message(t); got != missed {
				t.Errorf("one who came back got %+v, want %+v", got, missed)
			}
			lobby.text(t, chat.post(t, "/update", "y").ID) // it was left alone

			s.endStreams(t, "default", "all")
			for name, c := range map[string]*client{"tea": back, "lobby": lobby} {
				if rest, err := c.rest(t); err != io.EOF || !endedAsByAReload.MatchString(rest) || strings.Contains(rest, "bye") != (c == lobby) {
					t.Errorf("the stream of %s ends with %q, %v", name, rest, err)
				}
			}
			elsewhere.text(t, s.sites[1].post(t, "/update?room=tea", "z").ID) // another hub
			expect(t, s.scrape(t), map[string]float64{
				`streams_closed_total{hub="default",reason="reload"}`: 4,
				`streams_closed_total{hub="other",reason="reload"}`:   0,
			})
		})
	}
}

// A parked stream outlives a reload that takes its login away. Ending all
// streams has everyone log in again.
func TestALoginThatIsTakenAway(t *testing.T) {
	// the hashes of secret and other; kim is not removed, because Caddy takes
	// seconds to refuse a user whom it does not know
	const secret, other = "$2a$04$7wm8q4UdFYS3ZrfXpu7V4OwrFCH9JTvgfSRkfmKSsB3iJjnHdlXa2", "$2a$04$TZi53xVXHR76gkjS0bQsHejDiWniJOCq32Pb8UoWYP9nhFHEYPxuq"
	block := func(kim string) string {
		return fmt.Sprintf("basic_auth {\nkim %s\nlee %s\n}\nsse_chat {\nname {http.auth.user.id}\n}", kim, secret)
	}
	login := func(user string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":secret"))
	}
	s := serveSites(t, "", block(secret))
	chat := s.sites[0]
	post := func(text string) chattest.Message {
		t.Helper()
		return answered(t, chat.do(t, http.MethodPost, "/update", `{"text":"`+text+`"}`, login("lee")))
	}
	kim, lee := chat.stream(t, "/subscribe", login("kim")), chat.stream(t, "/subscribe", login("lee"))
	waitParked(t, hubOf(t, "default"), 2)
	s.load(t, block(other))
	seen := post("after the reload")
	for name, c := range map[string]*client{"kim": kim, "lee": lee} {
		if got := c.next(t).Message(t); got != seen {
			t.Errorf("the parked stream of %s got %+v, want %+v", name, got, seen)
		}
	}
	s.endStreams(t, "default", "all")
	kim.rest(t)
	lee.rest(t)
	missed := post("meanwhile")
	if a := chat.do(t, http.MethodGet, "/subscribe", "", login("kim"), "Last-Event-ID: "+seen.ID); a.status != http.StatusUnauthorized {
		t.Errorf("who has no login any more: %d", a.status)
	}
	if got := chat.stream(t, "/subscribe", login("lee"), "Last-Event-ID: "+seen.ID).next(t).Message(t); got != missed {
		t.Errorf("who has a login got %+v, want %+v", got, missed)
	}
}

// answered returns the message that an answer to POST /update holds.
func answered(t *testing.T, a answer) (m chattest.Message) {
	t.Helper()
	decode(t, a, &m)
	return m
}
