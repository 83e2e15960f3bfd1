// Package caddytest runs Caddy for tests: in the test's own process, where its
// configuration can change at any time, or in separate processes, for tests that
// terminate or kill it. The test imports the sse_chat handler that is tested.
package caddytest

import (
	"os"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard" // the modules of a real Caddy
)

// AsCaddy is the environment variable that makes the test binary run as Caddy.
const AsCaddy = "SSE_CHAT_TEST_AS_CADDY"

// Main must be called by TestMain. It runs the tests, which get a home directory of
// their own, or Caddy in a process that this package started.
func Main(m *testing.M) {
	if os.Getenv(AsCaddy) != "" {
		caddycmd.Main()
		return
	}
	home, err := os.MkdirTemp("", "sse-chat-test")
	if err != nil {
		panic(err)
	}
	for _, dir := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		os.Setenv(dir, home)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}
