package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// What watches over the chat finds it, and nothing else serves the admin API.
func TestTheCommandIsWatched(t *testing.T) {
	listen, admin, metrics := chattest.FreeAddr(t), chattest.FreeAddr(t), chattest.FreeAddr(t)
	health := func() (string, error) {
		out, err := caddytest.Command(t, t.TempDir(), "sse-chat", "--health", "--listen", listen).CombinedOutput()
		return string(out), err
	}
	if out, err := health(); err == nil || !strings.Contains(out, "the chat does not answer") {
		t.Errorf("a chat that does not run is healthy: %v, %s", err, out)
	}
	command := caddytest.Command(t, t.TempDir(), "sse-chat", "--listen", listen, "--admin", admin, "--metrics", metrics)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	chattest.Eventually(t, "it is healthy", func() bool {
		_, err := health()
		return err == nil
	})
	for _, test := range []struct {
		addr, path, want string
		status           int
	}{
		{admin, "/metrics", "caddy_sse_chat_subscribers", 200},
		{admin, "/sse_chat/hubs", `"default"`, 200},
		{metrics, "/metrics", "caddy_sse_chat_subscribers", 200},
		{metrics, "/sse_chat/hubs", "", 200},
		{metrics, "/config/", "", 200},
	} {
		if a := chattest.At("http://"+test.addr, http.DefaultClient).Do(t, http.MethodGet, test.path, ""); a.Status != test.status || !strings.Contains(a.Body, test.want) || test.want == "" && a.Body != "" {
			t.Errorf("%s of %s: %d %.200s, want %d %q", test.path, test.addr, a.Status, a.Body, test.status, test.want)
		}
	}
}
