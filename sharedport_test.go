package ssechat

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

const sharedPort = "another process listens on the same address"

func TestTwoMemoryHubsOnOnePortAreWarnedOf(t *testing.T) {
	addr, admin := freeAddr(t), freeAddr(t)
	first := caddyproc.StartAdmin(t, admin, "http://"+addr, "sse_chat")
	// its own address is no other's after a reload
	config, err := adapt(fmt.Sprintf("{\nadmin %s\npersist_config off\n}\nhttp://%s {\nsse_chat {\nheartbeat 1s\n}\n}\n", admin, addr))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://"+admin+"/load", "application/json", strings.NewReader(string(config)))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the reload: %v, %v", response, err)
	}
	response.Body.Close()
	_, port, _ := net.SplitHostPort(addr)
	second := caddyproc.Start(t, "http://"+addr, "sse_chat")
	eventually(t, "the second warns", func() bool {
		return strings.Contains(second.Log(t), sharedPort) && strings.Contains(second.Log(t), `"addresses":[":`+port+`"]`)
	})
	if log := first.Log(t); strings.Contains(log, sharedPort) {
		t.Errorf("the first warns of itself: %s", log)
	}
	other := caddyproc.Start(t, "http://"+freeAddr(t), "sse_chat")
	if log := other.Log(t); strings.Contains(log, sharedPort) {
		t.Errorf("one with a port of its own warns: %s", log)
	}
}

func TestTheCommandTakesNoAddressOfAnother(t *testing.T) {
	addr := freeAddr(t)
	caddyproc.Start(t, "http://"+addr, "sse_chat")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := caddyproc.Command(t, t.TempDir(), "sse-chat", "--listen", addr)
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Kill() })
	defer stop()
	out, err := command.CombinedOutput()
	if want := "another process listens on " + addr; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("it ended with %v and %q, want %q", err, out, want)
	}
}
