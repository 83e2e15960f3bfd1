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
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

var endedAsByAReload = regexp.MustCompile(`(?:^|\n)retry: (?:[2-9]\d{2}|1\d{3}|2000)\n(?:event: bye\ndata: {"reason":"reload","retry_ms":\d+}\n\n)?$`)

// What the admin API ends comes back and misses nothing, parked or not.
func TestAdminEndsTheStreamsOfARoomOrAll(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			s := caddytest.ServeSites(t, "", "sse_chat {\npark "+park+"\n}", "sse_chat {\nhub other\n}")
			chat := s.Sites[0]
			tea, both, lobby := chat.Stream(t, "/subscribe?room=tea&name=kim"), chat.Stream(t, "/subscribe?room=other&room=tea&events=1"), chat.Stream(t, "/subscribe?events=1")
			elsewhere := s.Sites[1].Stream(t, "/subscribe?room=tea")
			last := chat.Post(t, "/update?room=tea", "x")
			tea.Until(t, last.ID)
			both.Until(t, "event: live")
			lobby.Until(t, "event: live")
			if park == "on" {
				waitParked(t, hubOf(t, "default"), 3)
			}
			s.Admin.EndStreams(t, "default", "room=nobody-reads-it")
			s.Admin.EndStreams(t, "default", "room=tea")
			for name, c := range map[string]*chattest.Stream{"tea": tea, "both": both} {
				if rest, err := c.Rest(t); err != io.EOF || !endedAsByAReload.MatchString(rest) || strings.Contains(rest, "bye") != (c == both) {
					t.Errorf("the stream of %s ends with %q, %v", name, rest, err)
				}
			}
			missed := chat.Post(t, "/update?room=tea", "missed")
			back := chat.Stream(t, "/subscribe?room=tea&name=kim", "Last-Event-ID: "+last.ID)
			if got := back.Next(t).Message(t); got != missed {
				t.Errorf("one who came back got %+v, want %+v", got, missed)
			}
			lobby.Until(t, chat.Post(t, "/update", "y").ID) // it was left alone

			s.Admin.EndStreams(t, "default", "all")
			for name, c := range map[string]*chattest.Stream{"tea": back, "lobby": lobby} {
				if rest, err := c.Rest(t); err != io.EOF || !endedAsByAReload.MatchString(rest) || strings.Contains(rest, "bye") != (c == lobby) {
					t.Errorf("the stream of %s ends with %q, %v", name, rest, err)
				}
			}
			elsewhere.Until(t, s.Sites[1].Post(t, "/update?room=tea", "z").ID) // another hub
			chattest.Expect(t, s.Admin.Scrape(t), map[string]float64{
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
	s := caddytest.ServeSites(t, "", block(secret))
	chat := s.Sites[0]
	post := func(text string) chattest.Message {
		t.Helper()
		return chat.Do(t, http.MethodPost, "/update", `{"text":"`+text+`"}`, login("lee")).Stored(t)
	}
	kim, lee := chat.Stream(t, "/subscribe", login("kim")), chat.Stream(t, "/subscribe", login("lee"))
	waitParked(t, hubOf(t, "default"), 2)
	s.Load(t, block(other))
	seen := post("after the reload")
	for name, c := range map[string]*chattest.Stream{"kim": kim, "lee": lee} {
		if got := c.Next(t).Message(t); got != seen {
			t.Errorf("the parked stream of %s got %+v, want %+v", name, got, seen)
		}
	}
	s.Admin.EndStreams(t, "default", "all")
	kim.Rest(t)
	lee.Rest(t)
	missed := post("meanwhile")
	if a := chat.Do(t, http.MethodGet, "/subscribe", "", login("kim"), "Last-Event-ID: "+seen.ID); a.Status != http.StatusUnauthorized {
		t.Errorf("who has no login any more: %d", a.Status)
	}
	if got := chat.Stream(t, "/subscribe", login("lee"), "Last-Event-ID: "+seen.ID).Next(t).Message(t); got != missed {
		t.Errorf("who has a login got %+v, want %+v", got, missed)
	}
}
