package recipes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// python is Debian's own, for which Debian has the packages.
const python = "/usr/bin/python3"

// buildGobot returns the path of a gobot.
func buildGobot(t *testing.T) string {
	t.Helper()
	gobot := filepath.Join(t.TempDir(), "gobot")
	build := exec.Command("go", "build", "-o", gobot, "./examples/gobot")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return gobot
}

// botsOf returns the command of each bot for a site, by the room that it serves.
func botsOf(t *testing.T, gobot, url string) map[string][]string {
	t.Helper()
	return map[string][]string{
		"curl":     {"sh", "examples/bot.sh", url, "curl"},
		"node":     {program(t, "node"), "examples/bot.mjs", url, "node"},
		"go":       {gobot, "-site", url, "-room", "go"},
		"python":   {python, "examples/bot.py", url, "python"},
		"requests": {python, "examples/bot_requests.py", url, "requests"},
	}
}

// The bots answer each message once, even those sent during a reload.
func TestBots(t *testing.T) {
	url := freeURL(t)
	caddy := runCaddy(t, url, url+" {\n\tsse_chat\n}\n")
	bots := botsOf(t, buildGobot(t), url)
	streams, processes := make(map[string]*chattest.Stream), make(map[string]*process)
	for room, command := range bots {
		streams[room] = subscribe(t, url+"/subscribe?events=1&room="+room)
		processes[room] = start(t, nil, command[0], command[1:]...)
		// the test's stream and the bot's
		streams[room].Line(t, `"count":2`)
		// an event that is no message, and a message that is no command
		want(t, http.StatusOK, http.MethodPost, url+"/update?room="+room, text("hello"))
	}
	ping := func(room string, n int) {
		t.Helper()
		want(t, http.StatusOK, http.MethodPost, url+"/update?room="+room, fmt.Sprintf(`{"text":"!ping","name":"%d"}`, n))
		chattest.Eventually(t, fmt.Sprintf("pong %d of the bot with %s", n, room), func() bool {
			return pongs(t, url, room) >= n
		})
	}
	for room := range bots {
		ping(room, 1)
		ping(room, 2)
	}
	caddy.reload(t)
	chattest.Eventually(t, "the server is there again", func() bool {
		response, err := client.Get(url + "/history")
		if err != nil {
			return false
		}
		response.Body.Close()
		return true
	})
	for room := range bots { // before most of them are back
		ping(room, 3)
		ping(room, 4)
		if n := pongs(t, url, room); n != 4 {
			t.Errorf("the bot with %s answered 4 times with %d messages", room, n)
		}
	}
	// a kicked bot does not come back
	want(t, http.StatusNoContent, http.MethodDelete, "http://"+caddy.admin+"/sse_chat/hubs/default/subscribers?name=bot", "")
	for _, room := range []string{"go", "node", "python", "requests"} {
		select {
		case <-processes[room].exited:
		case <-time.After(chattest.Patience):
			t.Errorf("the bot with %s goes on", room)
		}
	}
}

func pongs(t *testing.T, url, room string) int {
	t.Helper()
	a := do(t, http.MethodGet, url+"/history?room="+room, "")
	return strings.Count(a.Body, `"text":"pong","`)
}

// script is a site that cuts its readers off at the worst moments.
type script struct {
	mu     sync.Mutex // guards all below
	asked  []string   // the ids after which streams were requested
	nonces []string   // of published messages
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/update" {
		var m struct{ Nonce string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		if s.nonces = append(s.nonces, m.Nonce); len(s.nonces) == 1 {
			w.WriteHeader(http.StatusBadRequest) // so that none retries immediately
		}
		return
	}
	const ping = "id: %[1]d\ndata: {\"text\":\"!ping\",\"timestamp\":%[1]d,\"id\":\"%[1]d\"}\n\n"
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		last = r.URL.Query().Get("last_event_id")
	}
	s.asked = append(s.asked, r.URL.Query().Get("events")+" "+last)
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ":ok\nretry: 1000\n")
	switch len(s.asked) {
	case 1: // cut off before the first message
		fmt.Fprint(w, "event: hello\nid: 100\ndata: {\"rooms\":[\"r\"],\"latest\":\"100\"}\n\n")
	case 2: // cut off before the bot's answer is stored
		fmt.Fprintf(w, ping, 101)
	case 3: // cut off in the middle of a message
		fmt.Fprintf(w, ping, 101)
		fmt.Fprint(w, "id: 102\ndata: {\"text\":\"!pi")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case 4: // an event without an id, and one about an older message
		fmt.Fprintf(w, ping, 102)
		fmt.Fprint(w, "event: delete\nid: 103\ndata: {\"id\":\"101\",\"text\":\"!ping\"}\n\nevent: ping\ndata: {\"now\":1}\n\n")
	}
}

func (s *script) seen() (asked, nonces []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked), slices.Clone(s.nonces)
}

// A bot that is cut off misses nothing, not even before its first message. A
// repeated answer has the same nonce, which nobody can guess.
func TestBotsThatAreCutOff(t *testing.T) {
	gobot := buildGobot(t)
	var names []string
	var sites []*script // each of one bot
	for range 2 {
		for name := range botsOf(t, gobot, "") {
			s := new(script)
			site := httptest.NewServer(s)
			t.Cleanup(site.Close)
			names, sites = append(names, name), append(sites, s)
			command := botsOf(t, gobot, site.URL)[name]
			start(t, nil, command[0], command[1:]...)
		}
	}
	var nonces []string
	for i, s := range sites {
		chattest.Eventually(t, "the fifth stream of the bot with "+names[i], func() bool {
			asked, _ := s.seen()
			return len(asked) >= 5
		})
		asked, published := s.seen()
		if want := []string{"1 ", "1 100", "1 100", "1 101", "1 103"}; !slices.Equal(asked[:5], want) {
			t.Errorf("the bot with %s asked for %q, want %q", names[i], asked, want)
		}
		if len(published) != 3 || published[0] != published[1] {
			t.Fatalf("the bot with %s published under %q, want one twice and another", names[i], published)
		}
		nonces = append(nonces, published[1:]...)
	}
	random := regexp.MustCompile(`^[0-9a-f]{32}$`)
	for i, nonce := range nonces {
		if !random.MatchString(nonce) || slices.Contains(nonces[:i], nonce) {
			t.Errorf("the nonce %q is no random one, or was used before", nonce)
		}
	}
}
