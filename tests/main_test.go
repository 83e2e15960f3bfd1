// Package tests tries the module from outside: through HTTP, Caddy's admin API
// and metrics, and the files and processes of a Caddy. Tests that look inside
// are beside what they look at.
package tests

import (
	"testing"

	_ "github.com/sse-chat/caddy-sse-chat" // the handler that is tried
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }
