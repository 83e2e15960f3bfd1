package e2e

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// budget is the most that a browser loads for the whole page, with each file
// gzipped.
const budget = 30 << 10

// most is the most that it loads in all, if everything is used, with one language.
const most = 65 << 10

// seldom lists the files that are loaded on demand: stream sharing between tabs
// over HTTP/1.1, refusals, writing, special messages, names, notifications, and panels.
var seldom = []string{
	"sse-chat-tabs.js", "sse-chat-more.js", "outbox.js", "composer.js", "menu.js",
	"special.js", "later.css", "name.js", "bell.js", "push.js", "panels.js", "search.js",
}

func TestTheBudget(t *testing.T) {
	free := chattest.FreePort(t)
	url := "https://localhost:" + free
	caddytest.Start(t, url, siteBlock(t, "../public", "sse_chat"))
	p := open(t, startBrowser(t, chromedp.IgnoreCertErrors), url+"/?lang=en")
	wait(p, state, "live")
	wait(p, `performance.getEntriesByName('first-contentful-paint').length`, 1)
	var files []string
	for _, name := range eval[[]string](p, `performance.getEntriesByType('resource').map(r => r.name)`) {
		if name = strings.TrimPrefix(name, url+"/"); !strings.HasPrefix(name, "subscribe") && !strings.HasPrefix(name, "history") {
			files = append(files, name)
		}
	}
	// the browser itself loads these, or may
	files = append(files, "index.html", "manifest.webmanifest", "icon.svg")
	slices.Sort(files)
	files = slices.Compact(files)
	total := 0
	for _, file := range files {
		total += compressed(t, file)
	}
	more := 0
	for _, file := range seldom {
		more += compressed(t, file)
		if slices.Contains(files, file) {
			t.Errorf("%s is loaded by a page that is just opened", file)
		}
	}
	all := 0
	for _, form := range []string{"*.js", "*.css", "index.html"} {
		names, _ := filepath.Glob("../public/" + form)
		for _, name := range names {
			// another language, and what plain HTTP or HTTP/1.1 need
			if name := filepath.Base(name); !slices.Contains([]string{"ko.js", "sha256.js", "sse-chat-tabs.js"}, name) {
				all += compressed(t, name)
			}
		}
	}
	t.Logf("%d bytes in %d files, %d in all; %q have %d more", total, len(files), all, seldom, more)
	if all > most {
		t.Errorf("all files are %d bytes gzipped, want at most %d", all, most)
	}
	if total > budget || len(files) < 10 {
		t.Errorf("the page is %d bytes gzipped, want at most %d: %q", total, budget, files)
	}
}

func compressed(t *testing.T, file string) int {
	t.Helper()
	content, err := os.ReadFile("../public/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(content)
	w.Close()
	return out.Len()
}

// The JSDoc types of the page's scripts are correct.
func TestTheTypesOfTheScripts(t *testing.T) {
	t.Parallel()
	testTool(t, "typescript/package.json")
	out, err := exec.Command("node", "node_modules/typescript/bin/tsc", "-p", ".").CombinedOutput()
	if err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}

// The policy in the Caddyfile blocks any HTML that might get injected into the
// page.
func TestThePolicy(t *testing.T) {
	p := newTab(t, startBrowser(t))
	url := site(t)
	p.visit(inEnglish(url))
	wait(p, state, "live")
	p.unruly.Store(true)
	for what, expression := range map[string]string{
		"HTML":             `document.body.innerHTML = '<b>'`,
		"a script's text":  `document.createElement('script').text = '1'`,
		"a policy of ours": `trustedTypes.createPolicy('mine', {})`,
	} {
		if got := eval[string](p, `(() => { try { `+expression+`; return 'allowed' } catch (e) { return e.constructor.name } })()`); got == "allowed" {
			t.Errorf("%s is allowed", what)
		}
	}
	// not in code that the debugger evaluates, which may do anything
	if got := eval[string](p, `new Promise((done) => setTimeout(() => { try { (0, eval)('1'); done('allowed') } catch (e) { done(e.constructor.name) } }))`); got == "allowed" {
		t.Error("eval is allowed")
	}
	if got := eval[string](p, `navigator.serviceWorker.register('menu.js').then(() => 'allowed', (e) => e.message)`); !strings.Contains(got, "TrustedScriptURL") {
		t.Errorf("another worker: %s", got)
	}
	for _, html := range []string{"script", "style"} {
		if got := eval[int](p, `document.querySelectorAll('`+html+`:not([src])').length + document.querySelectorAll('[style]:not(.name, #name, body)').length`); got != 0 {
			t.Errorf("there is something inline")
		}
	}
	if got := eval[string](p, `fetch('https://example.org/').then(() => 'allowed', () => 'refused')`); got != "refused" {
		t.Error("another server can be asked")
	}
}

func TestItCanBeInstalled(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	for _, e := range call(p, page.GetInstallabilityErrors, struct{}{}).InstallabilityErrors {
		if e.ErrorID != "in-incognito" {
			t.Errorf("it cannot be installed: %s", e.ErrorID)
		}
	}
	for _, e := range call(p, page.GetAppManifest, page.GetAppManifestParams{}).Errors {
		t.Errorf("the manifest: %s", e.Message)
	}
	for _, icon := range []string{"icon-192.png 192", "icon-512.png 512"} {
		name, size, _ := strings.Cut(icon, " ")
		if got := eval[string](p, `new Promise((done) => { const i = new Image(); i.onload = i.onerror = () => done(String(i.naturalWidth)); i.src = '`+name+`' })`); got != size {
			t.Errorf("%s is %s pixels wide", name, got)
		}
	}
}

// Everything works below a path too, and two chats of one site stay separate.
func TestBelowAPath(t *testing.T) {
	free := chattest.FreePort(t)
	url := "http://localhost:" + free
	block := "handle_path /one/* {\n" + siteBlock(t, "../public", "sse_chat {\n\t\thub one\n\t}") + "\n}\n" +
		"handle_path /two/* {\n" + siteBlock(t, "../public", "sse_chat {\n\t\thub two\n\t}") + "\n}\n" +
		"respond /history 200"
	caddytest.Start(t, url, block)
	chromium := startBrowser(t)
	one, two := join(t, chromium, url+"/one/"), join(t, chromium, url+"/two/")
	one.say("first")
	wait(one, texts, []string{"first"})
	one.enterRoom("tea")
	two.say("second")
	wait(two, texts, []string{"second"})
	wait(two, roomList, []string{"Lobby"})
	one.back()
	wait(one, texts, []string{"first"})
	wait(one, pendings+`.length`, 0)
}

// Plain HTTP from another machine has no Web Locks and no randomUUID.
func TestAnInsecureContext(t *testing.T) {
	free := chattest.FreePort(t)
	block := siteBlock(t, "../public", "sse_chat")
	caddytest.Start(t, "http://localhost:"+free, block+"\n}\n\nhttp://chat.test:"+free+" {\n"+block)
	p := newTab(t, startBrowser(t, chromedp.Flag("host-resolver-rules", "MAP chat.test 127.0.0.1")))
	p.visit("http://chat.test:" + free + "/?lang=en")
	wait(p, `isSecureContext`, false)
	wait(p, state, "live")
	p.say("hello")
	wait(p, texts, []string{"hello"})
	wait(p, pendings+`.length`, 0)
	// there, browsers have no hash for the author's tag
	p.say("again")
	p.act("again", "Edit")
	p.do(write("!"), press(enter))
	chattest.Within(t, patience, "the change is stored", func() bool { return strings.Contains(history(t, "http://localhost:"+free), `"again!"`) })
	wait(p, owned, []string{"hello", "again!"})
	p.screenshot("insecure")
}
