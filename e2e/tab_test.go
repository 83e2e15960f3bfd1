package e2e

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// tab is one page.
type tab struct {
	t   *testing.T
	ctx context.Context
	end context.CancelFunc

	unruly atomic.Bool // the test itself violates the policy
	stays  atomic.Bool // stay when asked whether to leave the page

	mu       sync.Mutex
	origin   string
	requests []string // method, path and query
	asks     int      // how often the page asked before it was left
}

// open opens an address in a new tab of a browser. A script error, a policy
// violation, or a request to another origin fails the test.
func open(t *testing.T, chromium context.Context, address string, before ...string) *tab {
	t.Helper()
	p := newTab(t, chromium)
	for _, script := range before {
		p.before(script)
	}
	p.visit(address)
	return p
}

func newTab(t *testing.T, chromium context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, end: cancel}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	requests := chromedp.Events(ctx, network.RequestWillBeSent)
	dialogs := chromedp.Events(ctx, page.JavascriptDialogOpening)
	go func() {
		for message, err := range console {
			if err == nil && (message.IsException() || message.Source == "security") && !p.unruly.Load() {
				t.Errorf("the page's console: %v", message)
			}
		}
	}()
	go func() {
		for event, err := range requests {
			if err == nil {
				p.requested(event.Request)
			}
		}
	}()
	go func() {
		for _, err := range dialogs {
			if err == nil {
				p.leaving()
			}
		}
	}()
	call(p, network.Enable, network.EnableParams{})
	return p
}

// requested records a request, which must be to the page's own origin.
func (p *tab) requested(request *network.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest, same := strings.CutPrefix(request.URL, p.origin)
	if !same && strings.HasPrefix(request.URL, "http") {
		p.t.Errorf("the page of %s asks %s", p.origin, request.URL)
	}
	p.requests = append(p.requests, request.Method+" "+rest)
}

// leaving answers the question whether to leave the page.
func (p *tab) leaving() {
	p.mu.Lock()
	p.asks++
	p.mu.Unlock()
	_, _ = chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: !p.stays.Load()})
}

// hasAsked returns how often the page has asked whether to leave it.
func (p *tab) hasAsked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asks
}

// asked returns how many requests began with something like "POST /update".
func (p *tab) asked(prefix string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := 0
	for _, request := range p.requests {
		if strings.HasPrefix(request, prefix) {
			count++
		}
	}
	return count
}

// hide minimizes the window of the page, and show brings it back.
func (p *tab) hide() {
	p.t.Helper()
	p.window(browser.WindowStateMinimized)
	wait(p, `document.visibilityState + document.hasFocus()`, "hiddenfalse")
}

func (p *tab) show() {
	p.t.Helper()
	p.window(browser.WindowStateNormal)
	wait(p, `document.visibilityState + document.hasFocus()`, "visibletrue")
}

func (p *tab) window(state browser.WindowState) {
	p.t.Helper()
	id := call(p, browser.GetWindowForTarget, browser.GetWindowForTargetParams{}).WindowID
	call(p, browser.SetWindowBounds, browser.SetWindowBoundsParams{WindowID: id, Bounds: &browser.Bounds{WindowState: state}})
}

func (p *tab) visit(address string) {
	p.t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	if parsed.Host != "" {
		p.origin = parsed.Scheme + "://" + parsed.Host
	}
	p.mu.Unlock()
	p.do(chromedp.Navigate(address))
}

// reload reloads the page and waits for the new one.
func (p *tab) reload() {
	p.t.Helper()
	p.js(`globalThis.isOld = true`)
	call(p, page.Reload, page.ReloadParams{})
	wait(p, `!globalThis.isOld && document.body?.dataset.connection !== undefined`, true)
}

// back and forward navigate as a reader does. A script that navigates would lose
// its own result.
func (p *tab) back()    { p.t.Helper(); p.walk(-1) }
func (p *tab) forward() { p.t.Helper(); p.walk(1) }

func (p *tab) walk(by int64) {
	p.t.Helper()
	history := call(p, page.GetNavigationHistory, struct{}{})
	to := history.Entries[history.CurrentIndex+by]
	call(p, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: to.ID})
}

// before runs a script before those of every page that the tab loads.
func (p *tab) before(script string) {
	p.t.Helper()
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// call runs a command of the DevTools protocol in a tab.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		p.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
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

// eval evaluates an expression of JavaScript, and awaits it if it is a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// js evaluates an expression for its side effects.
func (p *tab) js(expression string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](expression, chromedp.EvalAwaitPromise))
}

// wait waits until an expression has a value.
func wait[T any](p *tab, expression string, want T) {
	p.t.Helper()
	waitFor(p, patience, expression, want)
}

// waitFor is wait with more patience.
func waitFor[T any](p *tab, patience time.Duration, expression string, want T) {
	p.t.Helper()
	wanted, _ := json.Marshal(want)
	var got []byte
	var err error
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
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

// resize gives the window a size in CSS pixels.
func (p *tab) resize(width, height int64) {
	p.t.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1,
	})
}

// media sets features that style sheets and scripts ask for, as name and value
// in turn.
func (p *tab) media(features ...string) {
	p.t.Helper()
	var list []*emulation.MediaFeature
	for i := 0; i < len(features); i += 2 {
		list = append(list, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: list})
}

// touch emulates a touch screen.
func (p *tab) touch() {
	p.t.Helper()
	call(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true, MaxTouchPoints: 1})
}

// freeze stops all scripts of the page, as browsers do with tabs in the
// background, and thaw lets them run again.
func (p *tab) freeze() {
	p.t.Helper()
	call(p, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateFrozen})
}

func (p *tab) thaw() {
	p.t.Helper()
	call(p, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateActive})
}

// offline tells the page that the browser is off the network, or on it again.
func (p *tab) offline(off bool) {
	p.t.Helper()
	call(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{
		Offline: off, DownloadThroughput: -1, UploadThroughput: -1,
	})
}
