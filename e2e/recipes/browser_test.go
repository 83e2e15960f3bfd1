package recipes

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// siteFolder returns a folder with files of docs/recipes, for recipes that serve
// the pages of a site.
func siteFolder(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		writeIn(t, dir, name, recipe(t, name))
	}
	return dir
}

func writeIn(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tab is a page in Chromium, or a frame of it.
type tab struct {
	t      *testing.T
	ctx    context.Context
	unruly atomic.Bool // errors in its console are wanted
}

// newTab opens a tab in a Chromium. Script errors and violations of a policy
// fail the test.
func newTab(t *testing.T, chromium context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, options...)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	go func() {
		for message, err := range console {
			if err == nil && (message.IsException() || message.Source == "security") && !p.unruly.Load() {
				t.Errorf("the page's console: %v", message)
			}
		}
	}()
	return p
}

// open opens an address in a new tab.
func open(t *testing.T, chromium context.Context, address string) *tab {
	t.Helper()
	p := newTab(t, chromium)
	p.visit(address)
	return p
}

func (p *tab) visit(address string) { p.t.Helper(); p.do(chromedp.Navigate(address)) }

// reload reloads the page and waits for the new one.
func (p *tab) reload() {
	p.t.Helper()
	p.js(`globalThis.isOld = true`)
	call(p, page.Reload, page.ReloadParams{})
	wait(p, `!globalThis.isOld && document.readyState`, "complete")
}

// frame returns the frame of another site whose address begins like that.
func (p *tab) frame(address string) *tab {
	p.t.Helper()
	var frame *tab
	chattest.Eventually(p.t, "the frame with "+address, func() bool {
		targets, err := chromedp.Targets(p.ctx)
		for _, target := range targets {
			if err == nil && target.Type == "iframe" && strings.HasPrefix(target.URL, address) {
				frame = newTab(p.t, p.ctx, chromedp.WithTargetID(target.TargetID))
				return true
			}
		}
		return false
	})
	return frame
}

// call runs a command of the DevTools protocol.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		p.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) click(selector string) { p.t.Helper(); p.do(chromedp.Click(chromedp.CSS(selector))) }

// js evaluates an expression for its side effects.
func (p *tab) js(expression string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](expression, chromedp.EvalAwaitPromise))
}

// evaluate returns the value of an expression.
func evaluate[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// submit fills in the form and sends it.
func (p *tab) submit(text string) {
	p.t.Helper()
	quoted, _ := json.Marshal(text)
	p.js(`document.querySelector('[name=text]').value = ` + string(quoted))
	p.click("button")
}

// window changes the window of the page, and waits until the page knows.
func (p *tab) window(state browser.WindowState, visibility string) {
	p.t.Helper()
	window := call(p, browser.GetWindowForTarget, browser.GetWindowForTargetParams{})
	call(p, browser.SetWindowBounds, browser.SetWindowBoundsParams{WindowID: window.WindowID, Bounds: &browser.Bounds{WindowState: state}})
	wait(p, "document.visibilityState", visibility)
}

// wait waits until an expression of JavaScript, or what it promises, has a value.
func wait[T any](p *tab, expression string, want T) {
	p.t.Helper()
	wanted, _ := json.Marshal(want)
	var got []byte
	var err error
	for begin := time.Now(); time.Since(begin) < chattest.Patience; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
		var value any
		value, err = chromedp.Run(ctx, chromedp.Evaluate[any](expression, chromedp.EvalAwaitPromise))
		cancel()
		// it fails while another page is loading
		if got, _ = json.Marshal(value); err == nil && string(got) == string(wanted) {
			return
		}
	}
	p.t.Fatalf("%s is %s (%v), want %s", expression, got, err, wanted)
}
