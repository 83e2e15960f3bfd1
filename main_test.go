package ssechat

import (
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// hubOf returns a hub that is open.
func hubOf(t testing.TB, name string) *openHub {
	t.Helper()
	c := findHub(name)
	if c == nil {
		t.Fatalf("no hub %q", name)
	}
	return c.hub
}
