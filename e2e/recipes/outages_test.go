package recipes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Each bot answers each message once that is published while it is cut off, even
// before its first message, and around a reload, an exit and a kill of the server.
func TestBotsLoseNothing(t *testing.T) {
	url := freeURL(t)
	caddy := runCaddy(t, url, onDisk(t, url, "park off"))
	var greeted atomic.Int32
	network := chattest.NewNetwork(t, strings.TrimPrefix(url, "http://"), func(*chattest.Link) chattest.Pass {
		return func(p []byte, fromServer bool) bool {
			if fromServer && bytes.Contains(p, []byte("event: hello")) {
				greeted.Add(1)
			}
			return true
		}
	})
	_, port, _ := strings.Cut(network.Addr, ":")
	bots := botsOf(t, buildGobot(t), "http://localhost:"+port)
	for _, command := range bots {
		start(t, nil, command[0], command[1:]...)
	}
	// a bot that knows no id yet has not begun
	chattest.Eventually(t, "all have an id to start from", func() bool { return int(greeted.Load()) == len(bots) })
	network.Disconnect()
	network.Cut(false)
	pings := 0
	ping := func() {
		pings++
		for room := range bots {
			publish(t, url+"/update?room="+room, fmt.Sprintf(`{"text":"!ping","name":"%[1]d","nonce":"%[1]d"}`, pings))
		}
	}
	answered := func() {
		t.Helper()
		for room := range bots {
			chattest.Eventually(t, fmt.Sprintf("%d pongs of the bot with %s", pings, room), func() bool {
				return len(texts(t, url, room, "pong")) >= pings
			})
		}
	}
	ping()
	network.Connect()
	answered()

	during := func(outage func()) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			outage()
		}()
		for over := false; !over; {
			select {
			case <-done:
				over = true
			case <-time.After(100 * time.Millisecond):
			}
			ping()
		}
		answered()
	}
	during(func() { caddy.reload(t) })
	during(func() { network.Cut(true) })
	during(func() { caddy.restart(t, url, syscall.SIGTERM) })
	during(func() { caddy.restart(t, url, syscall.SIGKILL) })
	for room := range bots {
		if n := len(texts(t, url, room, "pong")); n != pings {
			t.Errorf("the bot with %s answered %d times to %d messages", room, n, pings)
		}
	}
}

// onDisk returns the Caddyfile of a site with a hub on disk.
func onDisk(t *testing.T, url string, options ...string) string {
	t.Helper()
	options = append(options, fmt.Sprintf("store bolt %q", filepath.Join(t.TempDir(), "chat.db")))
	return url + " {\n\tsse_chat {\n\t\t" + strings.Join(options, "\n\t\t") + "\n\t}\n}\n"
}

// restart ends the server with a signal, and starts it again.
func (s *server) restart(t testing.TB, url string, signal syscall.Signal) {
	t.Helper()
	_ = s.cmd.Process.Signal(signal)
	<-s.exited
	s.process = start(t, []string{"CADDY_ADMIN=" + s.admin}, binary(t), "run", "--adapter", "caddyfile", "--config", s.config)
	s.waitFor(t, url)
}

// publish repeats a message, which has a nonce, until it is stored.
func publish(t testing.TB, url, message string) {
	t.Helper()
	chattest.Eventually(t, "the message is stored", func() bool {
		response, err := client.Post(url, "application/json", strings.NewReader(message))
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// texts returns the messages of a room with that text.
func texts(t testing.TB, url, room, text string) (list []string) {
	t.Helper()
	for last := "0"; ; {
		response, err := client.Get(url + "/history?limit=200&room=" + room + "&after=" + last)
		if err != nil {
			return nil // the server restarts
		}
		var page struct {
			Messages []struct{ ID, Text string }
			More     bool
		}
		err = json.NewDecoder(response.Body).Decode(&page)
		response.Body.Close()
		if err != nil {
			return nil
		}
		for _, m := range page.Messages {
			last = m.ID
			if m.Text == text {
				list = append(list, m.ID)
			}
		}
		if !page.More {
			return list
		}
	}
}
