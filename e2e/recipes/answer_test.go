package recipes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// An answer that is written piece by piece is one message, across a reload, an exit and
// a kill, and readers get each piece as it comes.
func TestAnswers(t *testing.T) {
	url := freeURL(t)
	caddy := runCaddy(t, url, onDisk(t, url))
	for room, command := range answers(t) {
		page := subscribe(t, url+"/subscribe?events=1&room="+room)
		page.Line(t, `"count":1`)
		bot := command(url, room)
		bot.Dir = root
		model, err := bot.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := bot.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- bot.Wait() }()
		t.Cleanup(func() { _ = bot.Process.Kill() })
		said := ""
		for i, piece := range strings.SplitAfter(" \ntea is ready, 차가 준비됐습니다 🫖, and cake \"too\"\n", " ") {
			if i == 3 {
				caddy.reload(t)
			}
			if _, err := io.WriteString(model, piece); err != nil {
				t.Fatal(err)
			}
			switch i { // while it sends the piece
			case 5:
				caddy.restart(t, url, syscall.SIGTERM)
			case 6, 7:
				time.Sleep(time.Duration(i-6) * time.Millisecond)
				caddy.restart(t, url, syscall.SIGKILL)
				page = subscribe(t, url+"/subscribe?events=1&room="+room)
			}
			said += piece
			if strings.TrimSpace(said) == "" {
				continue
			}
			chattest.Eventually(t, "the piece is stored", func() bool {
				return strings.Contains(do(t, http.MethodGet, url+"/history?room="+room, "").Body, quoted(said))
			})
		}
		_ = model.Close()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the bot with %s ends with %v", room, err)
			}
		case <-time.After(chattest.Patience):
			t.Errorf("the bot with %s does not end", room)
		}
		if a := do(t, http.MethodGet, url+"/history?room="+room, ""); strings.Count(a.Body, `"text":`) != 1 || !strings.Contains(a.Body, quoted(said)) {
			t.Errorf("history: %s", a.Body)
		}
		page.Line(t, `"append":"cake "`)
	}
}

// A piece whose response is cut off is sent again, with the same nonce.
func TestAnswersAreSentAgain(t *testing.T) {
	for name, command := range answers(t) {
		var nonces []string // no request comes before the last one has ended
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var m struct{ Nonce string }
			if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
				t.Error(err)
			}
			if nonces = append(nonces, m.Nonce); len(nonces) == 1 {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, `{"id":"1"}`)
		}))
		defer site.Close()
		bot := command(site.URL, "tea")
		bot.Dir, bot.Stdin = root, strings.NewReader("hello")
		if out, err := bot.CombinedOutput(); err != nil {
			t.Errorf("the bot with %s ends with %v: %s", name, err, out)
		}
		if len(nonces) != 2 || nonces[0] != nonces[1] {
			t.Errorf("the bot with %s published under %q, want one twice", name, nonces)
		}
	}
}

// answers returns the command of each bot that writes what it reads into a room.
func answers(t *testing.T) map[string]func(site, room string) *exec.Cmd {
	t.Helper()
	answer := filepath.Join(t.TempDir(), "answer")
	build := exec.Command("go", "build", "-o", answer, "./examples/answer")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return map[string]func(site, room string) *exec.Cmd{
		"node": func(site, room string) *exec.Cmd {
			return exec.Command(program(t, "node"), "examples/answer.mjs", site, room)
		},
		"go": func(site, room string) *exec.Cmd { return exec.Command(answer, "-site", site, "-room", room) },
	}
}

// quoted returns a text as the JSON of a message begins with it.
func quoted(text string) string {
	return `{"text":"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

func TestModeratorsByLogin(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "moderators.Caddyfile", "chat.example.com", url))
	kim := login("kim", "hiccup")
	id := func(a chattest.Answer) string {
		_, rest, _ := strings.Cut(a.Body, `"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		return id
	}
	one, two := id(want(t, http.StatusOK, http.MethodPost, url+"/update", text("one"))), id(want(t, http.StatusOK, http.MethodPost, url+"/update", text("two")))
	page := subscribe(t, url+"/subscribe?events=1")
	page.Line(t, `"count":1`)
	for _, path := range []string{"/update?id=", "/mods/update?id="} {
		status := http.StatusForbidden
		if strings.HasPrefix(path, "/mods") {
			status = http.StatusUnauthorized
		}
		want(t, status, http.MethodPatch, url+path+one, `{"text":"x"}`)
		want(t, status, http.MethodDelete, url+path+one, "")
	}
	want(t, http.StatusForbidden, http.MethodDelete, url+"/update?id="+one, "", kim)
	want(t, http.StatusOK, http.MethodPatch, url+"/mods/update?id="+one, `{"text":"better"}`, kim)
	page.Line(t, `"text":"better"`)
	want(t, http.StatusOK, http.MethodDelete, url+"/mods/update?id="+two, "", kim)
	page.Line(t, `data: {"id":"`+two+`"}`)
	moderator := subscribe(t, url+"/mods/subscribe?events=1", kim)
	if line := moderator.Line(t, "data:"); !strings.Contains(line, `"you":{"name":"kim","moderate":true}`) {
		t.Errorf("a moderator is told %s", line)
	}
}
