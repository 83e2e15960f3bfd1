package tests

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

const sharedPort = "another process listens on the same address"

func TestTwoMemoryHubsOnOnePortAreWarnedOf(t *testing.T) {
	addr := chattest.FreeAddr(t)
	first := caddytest.StartAdmin(t, chattest.FreeAddr(t), "http://"+addr, "sse_chat")
	// its own address is no other's after a reload
	first.Load(t, "http://"+addr+" {\nsse_chat {\nheartbeat 1s\n}\n}\n")
	_, port, _ := net.SplitHostPort(addr)
	second := caddytest.Start(t, "http://"+addr, "sse_chat")
	chattest.Eventually(t, "the second warns", func() bool {
		return strings.Contains(second.Log(t), sharedPort) && strings.Contains(second.Log(t), `"addresses":[":`+port+`"]`)
	})
	if log := first.Log(t); strings.Contains(log, sharedPort) {
		t.Errorf("the first warns of itself: %s", log)
	}
	other := caddytest.Start(t, "http://"+chattest.FreeAddr(t), "sse_chat")
	if log := other.Log(t); strings.Contains(log, sharedPort) {
		t.Errorf("one with a port of its own warns: %s", log)
	}
}

func TestTheCommandTakesNoAddressOfAnother(t *testing.T) {
	addr := chattest.FreeAddr(t)
	caddytest.Start(t, "http://"+addr, "sse_chat")
	ctx, cancel := context.WithTimeout(t.Context(), chattest.Patience)
	defer cancel()
	command := caddytest.Command(t, t.TempDir(), "sse-chat", "--listen", addr)
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Kill() })
	defer stop()
	out, err := command.CombinedOutput()
	if want := "another process listens on " + addr; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("it ended with %v and %q, want %q", err, out, want)
	}
}
