package recipes

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// htmlTab is a page in a browser.
type htmlTab struct {
	t   *testing.T
	ctx context.Context
}

func startChromium(t *testing.T) context.Context {
	t.Helper()
	exe := os.Getenv("CHROMIUM")
	if exe == "" {
		exe = program(t, "chromium")
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(exe), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute))...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", exe, err)
	}
	return ctx
}

func openTab(t *testing.T, chromium context.Context, address string) *htmlTab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium)
	t.Cleanup(cancel)
	p := &htmlTab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(address))
	return p
}

func (p *htmlTab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func evaluate[T any](p *htmlTab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// say fills in the form and sends it.
func (p *htmlTab) say(text string) {
	p.t.Helper()
	quoted, _ := json.Marshal(text)
	p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=text]').value = `+string(quoted)), chromedp.Click(chromedp.CSS("button")))
}

// window changes the window of the page, and waits until the page knows.
func (p *htmlTab) window(state browser.WindowState, visibility string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, chattest.Patience)
	defer cancel()
	window, err := chromedp.Call(ctx, browser.GetWindowForTarget, browser.GetWindowForTargetParams{})
	if err != nil {
		p.t.Fatal(err)
	}
	bounds := browser.SetWindowBoundsParams{WindowID: window.WindowID, Bounds: &browser.Bounds{WindowState: state}}
	if _, err := chromedp.Call(ctx, browser.SetWindowBounds, bounds); err != nil {
		p.t.Fatal(err)
	}
	chattest.Eventually(p.t, "a page that is "+visibility, func() bool {
		return evaluate[string](p, `document.visibilityState`) == visibility
	})
}

// flakyNetwork is between browsers and a site.
type flakyNetwork struct {
	url    string
	cut    func()       // ends all connections
	status atomic.Int32 // of the answers to requests for streams, in place of the site's, if not 0
	failed atomic.Int32 // how many requests got it
}

func newFlakyNetwork(t *testing.T, site string) *flakyNetwork {
	t.Helper()
	target, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	n := new(flakyNetwork)
	carry := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := n.status.Load()
		if status == 0 || r.URL.Path != "/subscribe" {
			carry.ServeHTTP(w, r)
			return
		}
		http.Error(w, "<li>an error", int(status))
		n.failed.Add(1)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	n.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	n.cut = server.CloseClientConnections
	return n
}
