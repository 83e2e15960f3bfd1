package recipes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"

	"github.com/sse-chat/caddy-sse-chat/e2e/internal/chromium"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// library is a library whose pages insert what they read as HTML.
type library struct {
	page    string // of the recipes
	backend string // what the backend makes of forms
	files   map[string]string
	// message is what a program publishes to append an element.
	message func(element string) map[string]string
}

// libraries are those of the recipes. Datastar is on no registry that tests may use:
// DATASTAR names its file.
var libraries = []library{
	{
		page: "htmx.html", backend: "htmx",
		files:   map[string]string{"htmx.js": "htmx.org/dist/htmx.min.js", "sse.js": "htmx-ext-sse/dist/sse.min.js"},
		message: element,
	},
	{
		page: "htmx4.html", backend: "htmx",
		files:   map[string]string{"htmx.js": "htmx-4/dist/htmx.min.js", "hx-sse.js": "htmx-4/dist/ext/hx-sse.min.js"},
		message: element,
	},
	{
		page: "turbo.html", backend: "turbo",
		files: map[string]string{"turbo.js": "@hotwired/turbo/dist/turbo.es2017-esm.js"},
		message: func(element string) map[string]string {
			return map[string]string{"text": "<turbo-stream action=append target=board>\n<template>" + element + "</template></turbo-stream>"}
		},
	},
	{
		page: "datastar.html", backend: "datastar",
		files: map[string]string{"datastar.js": os.Getenv("DATASTAR")},
		message: func(element string) map[string]string {
			return map[string]string{"event": "datastar-patch-elements", "text": "selector #board\nmode append\nelements " + element}
		},
	},
}

func element(element string) map[string]string { return map[string]string{"text": element} }

// install copies a page of the recipes and the files of its library into a folder.
func (l library) install(t *testing.T, folder string) {
	t.Helper()
	writeIn(t, folder, "index.html", recipe(t, l.page))
	for name, from := range l.files {
		if from == "" {
			t.Skip("DATASTAR does not name the file of Datastar 1")
		}
		if !filepath.IsAbs(from) {
			from = filepath.Join("../node_modules", from)
		}
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatalf("%v; run npm ci in e2e", err)
		}
		writeIn(t, folder, name, string(content))
	}
}

// Pages with htmx, Turbo and Datastar show each message once and in order, whatever
// happens to their streams, and nothing that a visitor writes is markup.
func TestHTMLPages(t *testing.T) { //nolint:tparallel // no other test runs meanwhile
	browser := chromium.Start(t)
	for _, l := range libraries {
		t.Run(strings.TrimSuffix(l.page, ".html"), func(t *testing.T) {
			t.Parallel() // they mostly wait
			b := newBoard(t, browser, l)
			b.opens()
			b.showsTextsAsTheyAre()
			b.refusesVisitors()
			if l.backend == "datastar" {
				b.changesSignals()
			}
			b.losesNothing()
			if got := evaluate[string](b.tabs[0], `document.querySelectorAll('li *').length + ' ' + typeof hacked`); got != "1 undefined" {
				t.Errorf("elements within items, and what they have set: %s", got)
			}
		})
	}
}

const chatToken = "s3cret"

// board is a site with the recipe, and what its pages should show.
type board struct {
	t        *testing.T
	chromium context.Context
	library  library
	site     string
	caddy    *server
	network  *flakyNetwork // between the pages and the site
	tabs     []*tab
	texts    []string
}

func newBoard(t *testing.T, chromium context.Context, l library) *board {
	t.Helper()
	folder := t.TempDir()
	l.install(t, folder)
	site, port := freeURL(t), chattest.FreePort(t)
	b := &board{t: t, chromium: chromium, library: l, site: site, network: newFlakyNetwork(t, site)}
	b.caddy = runCaddy(t, site, recipe(t, "html.Caddyfile", "chat.example.com", site,
		"localhost:9092", "localhost:"+port, "root page", "root "+folder), "CHAT_TOKEN="+chatToken)
	env := []string{"CHAT=" + site, "CHAT_TOKEN=" + chatToken, "PORT=" + port}
	start(t, env, program(t, "node"), "docs/recipes/backend.mjs", l.backend).waitFor(t, "http://localhost:"+port)
	return b
}

// opens shows two pages, the first of them while there are no streams.
func (b *board) opens() {
	b.t.Helper()
	b.network.status.Store(http.StatusServiceUnavailable)
	b.tabs = append(b.tabs, open(b.t, b.chromium, b.network.url))
	chattest.Eventually(b.t, "a request for a stream", func() bool { return b.network.failed.Load() > 0 })
	b.network.status.Store(0)
	b.tabs[0].submit("one")
	b.shows("one")
	b.tabs = append(b.tabs, open(b.t, b.chromium, b.network.url))
	b.shows()
}

// showsTextsAsTheyAre sends texts that would be markup, or lines with a meaning.
func (b *board) showsTextsAsTheyAre() {
	b.t.Helper()
	const markup = `<img src=x onerror="hacked = 1"><script>hacked = 1</script></template></li>&lt;b&gt;'"`
	b.tabs[1].submit(markup)
	b.shows(markup)
	if got := evaluate[string](b.tabs[1], `document.querySelector('[name=text]').value`); got != "" {
		b.t.Errorf("after it was sent, the text is still %q", got)
	}
	const lines = "1\n\nselector body\r\nmode replace\nelements <p>gone</p>\u2028data: 2\u2029event: gap <i>"
	want(b.t, http.StatusNoContent, http.MethodPost, b.site+"/say", url.Values{"text": {lines}}.Encode())
	b.shows(lines)
	b.publish("<b>markup</b> of a program", "markup of a program")
	b.shows()
}

// refusesVisitors tries to write into the room without the backend. If something gets
// there, the pages show it.
func (b *board) refusesVisitors() {
	b.t.Helper()
	fake, _ := json.Marshal(b.library.message("<li><b>fake</b>"))
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut} {
		for _, path := range []string{"/update?room=board", "/%75pdate?room=board", "//update?room=board", "/say/../update?room=board", "/subscribe?room=board"} {
			for _, header := range []string{"X: none", "Authorization: Bearer", "Authorization: Bearer wrong", "Authorization: Author-Key 0123456789abcdefghijklm"} {
				if a := do(b.t, method, b.site+path, string(fake), header); a.Status < 400 {
					b.t.Errorf("%s %s with %s: %d %s", method, path, header, a.Status, a.Body)
				}
			}
		}
	}
	want(b.t, http.StatusForbidden, http.MethodPost, b.site+"/update?room=other", string(fake), "Authorization: Bearer "+chatToken)
	want(b.t, http.StatusForbidden, http.MethodGet, b.site+"/subscribe?room=other", "")
	want(b.t, http.StatusForbidden, http.MethodPost, b.site+"/say", "text=x", "Sec-Fetch-Site: cross-site")
	want(b.t, http.StatusBadRequest, http.MethodPost, b.site+"/say", "text=+")
	want(b.t, http.StatusRequestEntityTooLarge, http.MethodPost, b.site+"/say", "text="+strings.Repeat("x", 17<<10))
}

// changesSignals publishes an item that shows a signal of Datastar, and then the signal.
func (b *board) changesSignals() {
	b.t.Helper()
	item := b.library.message(`<li id=unread data-text="$unread"></li>`)
	signals := map[string]string{"event": "datastar-patch-signals", "text": `signals {"unread":17}`}
	for _, message := range []map[string]string{item, signals} {
		body, _ := json.Marshal(message)
		want(b.t, http.StatusOK, http.MethodPost, b.site+"/update?room=board", string(body), "Authorization: Bearer "+chatToken)
	}
	b.shows("17")
}

// losesNothing publishes while streams break, end and are refused, and while a page is
// hidden.
func (b *board) losesNothing() {
	b.t.Helper()
	b.publishNext()
	b.network.cut()
	b.publishNext()
	b.tabs[1].window(browser.WindowStateMinimized, "hidden")
	b.publishNext()
	b.tabs[1].window(browser.WindowStateNormal, "visible")
	b.shows()

	// as at a reload, which parked streams outlive
	want(b.t, http.StatusNoContent, http.MethodDelete, "http://"+b.caddy.admin+"/sse_chat/hubs/default/subscribers?all", "")
	b.publishNext()
	b.caddy.reload(b.t)
	b.caddy.waitFor(b.t, b.site)
	b.publishNext()
	b.shows()

	b.network.failed.Store(0)
	b.network.status.Store(http.StatusBadGateway)
	b.network.cut()
	chattest.Eventually(b.t, "requests for streams", func() bool { return int(b.network.failed.Load()) >= len(b.tabs) })
	b.publishNext()
	b.publishNext()
	b.network.status.Store(0)
	b.shows()
	b.publishNext()
	b.shows()
}

// publish publishes an item as a program with the token does, and publishNext one with
// the next number. Browsers show its text.
func (b *board) publish(markup, text string) {
	b.t.Helper()
	b.texts = append(b.texts, text)
	message, _ := json.Marshal(b.library.message(fmt.Sprintf("<li id=item-%d>%s</li>", len(b.texts), markup)))
	want(b.t, http.StatusOK, http.MethodPost, b.site+"/update?room=board", string(message), "Authorization: Bearer "+chatToken)
}

func (b *board) publishNext() {
	b.t.Helper()
	number := strconv.Itoa(len(b.texts) + 1)
	b.publish(number, number)
}

// shows waits until all pages show what they should, and more texts.
func (b *board) shows(more ...string) {
	b.t.Helper()
	b.texts = append(b.texts, more...)
	for i, tab := range b.tabs {
		var got []string
		for begin := time.Now(); !slices.Equal(got, b.texts); time.Sleep(20 * time.Millisecond) {
			if time.Since(begin) > chattest.Patience {
				b.t.Fatalf("page %d shows %q, want %q", i, got, b.texts)
			}
			got = evaluate[[]string](tab, `[...document.querySelectorAll('ul li')].map(item => item.textContent)`)
		}
	}
}

// An event for Datastar is what its makers' SDK writes, with an id.
func TestDatastarEvents(t *testing.T) {
	site := freeURL(t)
	runCaddy(t, site, recipe(t, "html.Caddyfile", "chat.example.com", site), "CHAT_TOKEN="+chatToken)
	cmd := exec.Command(program(t, "node"), "--input-type=module", "--eval", `
import { ServerSentEventGenerator } from '@starfederation/datastar-sdk/web'
const response = ServerSentEventGenerator.stream((stream) => {
  stream.patchElements('<li id="1">one\n</li>', { selector: '#board', mode: 'append' })
  stream.patchSignals('{"unread":1}')
})
console.log(await response.text())`)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v; run npm ci in e2e", err)
	}
	s := subscribe(t, site+"/subscribe?room=board")
	for _, message := range []map[string]string{
		{"event": "datastar-patch-elements", "text": "selector #board\nmode append\nelements <li id=\"1\">one\nelements </li>"},
		{"event": "datastar-patch-signals", "text": `signals {"unread":1}`},
	} {
		body, _ := json.Marshal(message)
		want(t, http.StatusOK, http.MethodPost, site+"/update?room=board", string(body), "Authorization: Bearer "+chatToken)
		s.Line(t, "data: ")
	}
	chattest.Eventually(t, "both events", func() bool { return strings.Count(s.All(), "\n\n") == 2 })
	events := regexp.MustCompile(`(?m)^(:|retry:|id:).*\n`).ReplaceAllString(s.All(), "")
	if sdk := strings.TrimSpace(string(out)); strings.TrimSpace(events) != sdk {
		t.Errorf("the events are\n%s\nthe SDK writes\n%s", events, sdk)
	}
}
