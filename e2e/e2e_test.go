// Package e2e tests the page in a real Chromium. It is a module of its own, so
// that users of the plugin inherit nothing of it.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	_ "github.com/sse-chat/caddy-sse-chat"
	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

func TestMain(m *testing.M) { caddyproc.Main(m) }

// patience is how long a page may take to show what it must.
const patience = 20 * time.Second

// serve starts a Caddy with a folder in place of the page that the Caddyfile
// of the repository serves.
func serve(t *testing.T, port, root string) *caddyproc.Process {
	t.Helper()
	return caddyproc.Start(t, "http://localhost:"+port, siteBlock(t, root, "sse_chat {\n\tretry 500ms\n}"))
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

// browser starts a Chromium with an empty profile.
func browser(t *testing.T) context.Context {
	t.Helper()
	exe := os.Getenv("CHROMIUM")
	if exe == "" {
		exe = "/usr/bin/chromium"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(exe),
		chromedp.NoSandbox,
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("lang", "ko-KR"),
		chromedp.WindowSize(1280, 800),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", exe, err)
	}
	return ctx
}

// tab is one page.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens an address in a new tab of a browser. Whatever goes wrong in its
// scripts fails the test.
func open(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &tab{t, ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		for message, err := range chromedp.Console(ctx) {
			if err == nil && message.IsException() {
				t.Errorf("%s: %v", url, message)
			}
		}
	}()
	p.do(chromedp.Navigate(url))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// run returns what an action returns.
func run[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// eval evaluates an expression of JavaScript.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression))
}

// wait waits until an expression has a value.
func wait[T any](p *tab, expression string, want T) {
	p.t.Helper()
	wanted, _ := json.Marshal(want)
	var got []byte
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		got, _ = json.Marshal(eval[T](p, expression))
		if string(got) == string(wanted) {
			return
		}
	}
	p.t.Fatalf("%s is %s, want %s", expression, got, wanted)
}

// screenshot writes what the tab shows to a folder that git ignores.
func (p *tab) screenshot(name string) {
	p.t.Helper()
	png := run(p, chromedp.CaptureScreenshot())
	if err := os.MkdirAll("screenshots", 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("screenshots", name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// offline tells the page that the browser is off the network, or on it again.
func (p *tab) offline(off bool) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.OverrideNetworkState, network.OverrideNetworkStateParams{
			Offline: off, DownloadThroughput: -1, UploadThroughput: -1,
		})
		return err
	}))
}
