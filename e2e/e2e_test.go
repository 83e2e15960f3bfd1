// Package e2e tests the page in a real Chromium. It is a separate module, so users
// of the plugin do not inherit its dependencies.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	_ "github.com/sse-chat/caddy-sse-chat"
	"github.com/sse-chat/caddy-sse-chat/e2e/internal/chromium"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// patience is how long a page may take to show something.
const patience = 20 * time.Second

// serve starts a Caddy with a folder in place of the page that the Caddyfile
// of the repository serves.
func serve(t *testing.T, port, root string) *caddytest.Process {
	t.Helper()
	return caddytest.Start(t, "http://localhost:"+port, siteBlock(t, root, "sse_chat {\n\tretry 500ms\n}"))
}

// siteBlock is the block of the site in the repository's Caddyfile, with
// another folder and other options.
func siteBlock(t *testing.T, root, directive string) string {
	t.Helper()
	caddyfile, err := os.ReadFile("../Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(caddyfile), "\n:3000 {\n")
	if !found {
		t.Fatal("the Caddyfile has no site :3000")
	}
	block = strings.TrimSuffix(strings.TrimSpace(block), "}")
	block = strings.Replace(block, "\troot public", fmt.Sprintf("\troot %q", absolute), 1)
	return strings.Replace(block, "\tsse_chat\n", directive+"\n", 1)
}

// startBrowser starts a Chromium with an empty profile.
func startBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	return chromium.Start(t, more...)
}
