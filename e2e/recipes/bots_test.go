package recipes

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The bots answer each message once, also those that came while the server
// was being reloaded.
func TestBots(t *testing.T) {
	gobot := filepath.Join(t.TempDir(), "gobot")
	build := exec.Command("go", "build", "-o", gobot, "./examples/gobot")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	url := freeURL(t)
	caddy := runCaddy(t, url, url+" {\n\tsse_chat\n}\n")
	bots := map[string][]string{
		"curl": {"sh", "examples/bot.sh", url, "curl"},
		"node": {program(t, "node"), "examples/bot.mjs", url, "node"},
		"go":   {gobot, "-site", url, "-room", "go"},
	}
	streams, processes := make(map[string]*stream), make(map[string]*process)
	for room, command := range bots {
		streams[room] = subscribe(t, url+"/subscribe?events=1&room="+room)
		processes[room] = start(t, nil, command[0], command[1:]...)
		// the test's stream and the bot's
		streams[room].await(t, `"count":2`)
		// an event that is no message, and a message that is no command
		want(t, http.StatusOK, http.MethodPost, url+"/update?room="+room, text("hello"))
	}
	ping := func(room string, n int) {
		t.Helper()
		want(t, http.StatusOK, http.MethodPost, url+"/update?room="+room, fmt.Sprintf(`{"text":"!ping","name":"%d"}`, n))
		eventually(t, fmt.Sprintf("pong %d of the bot with %s", n, room), func() bool {
			return pongs(t, url, room) >= n
		})
	}
	for room := range bots {
		ping(room, 1)
		ping(room, 2)
	}
	caddy.reload(t)
	eventually(t, "the server is there again", func() bool {
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
	// one that is kicked does not come back
	want(t, http.StatusNoContent, http.MethodDelete, "http://"+caddy.admin+"/sse_chat/hubs/default/subscribers?name=bot", "")
	for _, room := range []string{"go", "node"} {
		select {
		case <-processes[room].exited:
		case <-time.After(patience):
			t.Errorf("the bot with %s goes on", room)
		}
	}
}

func pongs(t *testing.T, url, room string) int {
	t.Helper()
	a := do(t, http.MethodGet, url+"/history?room="+room, "")
	return strings.Count(a.body, `"text":"pong","`)
}
