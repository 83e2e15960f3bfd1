package recipes

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/e2e/internal/chromium"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// runPage runs a recipe that serves pages of docs/recipes and takes messages at
// another address of this machine, and returns both addresses.
func runPage(t *testing.T, name string, pages ...string) (caddy *server, site, inside string) {
	t.Helper()
	site, inside = freeURL(t), freeURL(t)
	caddy = runCaddy(t, site, recipe(t, name, "chat.example.com", site, "http://localhost:8100", inside, "root site", "root "+siteFolder(t, pages...)))
	return caddy, site, inside
}

// runShown runs the only command of the recipes with that part, as it is shown but
// for the replacements.
func runShown(t *testing.T, part string, replacements ...string) {
	t.Helper()
	var found []string
	for line := range strings.Lines(recipe(t, "README.md")) {
		if strings.HasPrefix(line, "curl ") && strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the commands with %q are %q, want one", part, found)
	}
	command := "curl -sSf " + strings.TrimPrefix(strings.NewReplacer(replacements...).Replace(found[0]), "curl ")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// wantReadOnly fails unless a visitor can read a room, but neither write there
// nor read other rooms, and the programs' address cannot be read.
func wantReadOnly(t *testing.T, site, inside, room string) {
	t.Helper()
	subscribe(t, site+"/subscribe?room="+room)
	want(t, http.StatusNotFound, http.MethodPost, site+"/update?room="+room, text("fake"))
	want(t, http.StatusForbidden, http.MethodPost, inside+"/update?room=other", text("fake"))
	for _, query := range []string{"", "room=other", "room=" + room + "&room=other"} {
		want(t, http.StatusForbidden, http.MethodGet, site+"/subscribe?"+query, "")
	}
	for _, path := range []string{"/subscribe?room=", "/history?room="} {
		if a := do(t, http.MethodGet, inside+path+room, ""); a.Body != "" {
			t.Errorf("the programs' address can be read: %d %s", a.Status, a.Body)
		}
	}
}

// A dashboard shows the current values as soon as it is opened, however many
// there were before, and each new value as it comes.
func TestDashboard(t *testing.T) {
	_, site, inside := runPage(t, "dashboard.Caddyfile", "dashboard.html")
	set := func(room, value string) {
		t.Helper()
		want(t, http.StatusOK, http.MethodPost, inside+"/update?room="+room, `{"event":"value","data":`+value+`}`)
	}
	const values = `[...document.querySelectorAll('output')].map((o) => o.textContent)`
	set("orders", "7")
	for _, value := range []string{"10", "20", "30"} {
		set("cpu", value)
	}
	browser := chromium.Start(t)
	gateway := newFlakyNetwork(t, site)
	gateway.status.Store(http.StatusBadGateway)
	refused := open(t, browser, gateway.url+"/dashboard.html")
	p := open(t, browser, site+"/dashboard.html")
	wait(p, values, []string{"30", "7"})
	gateway.refuses(t, func() {})
	runShown(t, "room=cpu", "http://localhost:8100", inside)
	wait(p, values, []string{"71 %", "7"})
	set("orders", "8")
	wait(p, values, []string{"71 %", "8"})
	wait(open(t, browser, site+"/dashboard.html"), values, []string{"71 %", "8"})
	wait(refused, values, []string{"71 %", "8"})
	if a := want(t, http.StatusOK, http.MethodGet, site+"/history?room=cpu", ""); strings.Count(a.Body, `"id":`) != 1 {
		t.Errorf("the room keeps more than the current value: %s", a.Body)
	}
	wantReadOnly(t, site, inside, "cpu")
}

// Each user sees their own inbox only, without a login nobody sees any, and only
// programs can write.
func TestInboxPage(t *testing.T) {
	site := freeURL(t)
	runCaddy(t, site, recipe(t, "inbox.Caddyfile", "chat.example.com", site, "root site", "root "+siteFolder(t, "inbox.html")), "INBOX_TOKEN=s3cret")
	const token = "Authorization: Bearer s3cret"
	want(t, http.StatusOK, http.MethodPost, site+"/update?room=inbox-kim", text("for <b>kim</b>"), token)
	want(t, http.StatusOK, http.MethodPost, site+"/update?room=inbox-lee", text("for lee"), token)

	browser := chromium.Start(t)
	const inbox = `[...document.querySelectorAll('#inbox li')].map((line) => line.textContent)`
	status := func(path, options string) string {
		return `fetch('` + path + `', ` + options + `).then((a) => a.status)`
	}
	for user, other := range map[string]string{"kim": "lee", "lee": "kim"} {
		p := newTab(t, browser, chromedp.WithNewBrowserContext()) // with logins of its own
		p.unruly.Store(true)                                      // it asks for what it must not get
		p.visit(strings.Replace(site, "http://", "http://"+user+":"+map[string]string{"kim": "hiccup", "lee": "sneeze"}[user]+"@", 1) + "/me")
		p.visit(site + "/inbox.html")
		first := map[string]string{"kim": "for <b>kim</b>", "lee": "for lee"}[user]
		wait(p, inbox, []string{first})
		if user == "kim" {
			runShown(t, "room=inbox-kim", "https://chat.example.com", site, "$INBOX_TOKEN", "s3cret")
			wait(p, inbox, []string{"your parcel has arrived", first})
		}
		for path, wanted := range map[string]int{
			"/subscribe?room=inbox-" + other:                         http.StatusForbidden,
			"/subscribe?room=inbox-" + user + "&room=inbox-" + other: http.StatusForbidden,
			"/history?room=inbox-" + other:                           http.StatusForbidden,
			"/subscribe":                                             http.StatusForbidden,
			"/history?room=inbox-" + user:                            http.StatusOK,
		} {
			wait(p, status(path, `{}`), wanted)
			wait(p, status(path, `{ credentials: 'omit' }`), http.StatusUnauthorized)
		}
		for _, room := range []string{user, other} {
			for _, options := range []string{`body: '{"text":"fake"}'`, `credentials: 'omit', body: '{"text":"fake"}'`, `headers: { Authorization: 'Bearer s3cret2' }, body: '{"text":"fake"}'`} {
				wait(p, status("/update?room=inbox-"+room, `{ method: 'POST', `+options+` }`), http.StatusNotFound)
			}
		}
		// an EventSource gives up
		wait(p, `new Promise((end) => { const s = new EventSource('/subscribe?room=inbox-`+other+`'); s.onopen = s.onerror = () => end(s.readyState) })`, 2)
	}
}

// A bell counts what has come since it was clicked, also while no page was open,
// during a reload, and while the server answers with an error, which is final
// for an EventSource.
func TestBell(t *testing.T) {
	if lines := strings.Count(recipe(t, "bell.js"), "\n"); lines > 15 {
		t.Errorf("it has %d lines, want at most 15", lines)
	}
	caddy, site, inside := runPage(t, "bell.Caddyfile", "bell.html", "bell.js")
	gateway := newFlakyNetwork(t, site)
	post := func() {
		t.Helper()
		want(t, http.StatusOK, http.MethodPost, inside+"/update?room=news", text("news"))
	}
	const bell = `document.getElementById('bell').textContent.trim()`

	post() // before anybody was there
	gateway.status.Store(http.StatusBadGateway)
	browser := chromium.Start(t)
	p := open(t, browser, gateway.url+"/bell.html")
	gateway.refuses(t, func() {})
	wait(p, `localStorage.length`, 1) // it knows where to begin
	wait(p, bell, "🔔")
	runShown(t, "localhost:8100/update?room=news", "http://localhost:8100", inside)
	wait(p, bell, "🔔 1")

	caddy.reload(t)
	post()
	wait(p, bell, "🔔 2")

	// the stream ends, and the next one is refused
	gateway.status.Store(http.StatusBadGateway)
	want(t, http.StatusNoContent, http.MethodDelete, "http://"+caddy.admin+"/sse_chat/hubs/default/subscribers?all", "")
	gateway.refuses(t, post)
	wait(p, bell, "🔔 3")

	// while no page was open
	p.visit("about:blank")
	post()
	p.visit(gateway.url + "/bell.html")
	wait(p, bell, "🔔 4")
	second := open(t, browser, gateway.url+"/bell.html")
	wait(second, bell, "🔔 4")
	second.click("#bell")
	wait(second, bell, "🔔")
	wait(p, bell, "🔔")
	p.reload()
	post()
	wait(p, bell, "🔔 1")
	wantReadOnly(t, site, inside, "news")
}

// An answer appears in the browser as it is written, and whole in pages that were
// away or come later.
func TestAnswerPage(t *testing.T) {
	caddy, site, inside := runPage(t, "answer.Caddyfile", "answer.html")
	browser := chromium.Start(t)
	p := newTab(t, browser)
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		globalThis.changes = [];
		globalThis.EventSource = class extends EventSource {
			constructor(url) {
				super(url);
				globalThis.stream = this;
				this.addEventListener('change', ({ data }) => changes.push(data));
			}
		}`})
	p.visit(site + "/answer.html")
	const answers = `[...document.querySelectorAll('#answers p')].map((answer) => answer.textContent)`
	p.js(`globalThis.seen = [];
		new MutationObserver(() => { const all = ` + answers + `; if (all.at(-1) !== seen.at(-1)) seen.push(all.at(-1)) })
			.observe(document.getElementById('answers'), { childList: true, subtree: true, characterData: true })`)
	pieces := []string{"차가 ", "준비 🫖", "🍰됐어요 ", "<b>now</b> ", "&amp; ", "then\n", "더 "}
	bot := exec.Command(program(t, "node"), "examples/answer.mjs", inside, "tea")
	bot.Dir = root
	model, err := bot.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bot.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bot.Process.Kill(); _ = bot.Wait() })
	var said string
	var steps []string
	write := func(piece string) {
		t.Helper()
		if _, err := io.WriteString(model, piece); err != nil {
			t.Fatal(err)
		}
		said += piece
		steps = append(steps, said)
		chattest.Eventually(t, "the piece is stored", func() bool {
			return strings.Contains(do(t, http.MethodGet, site+"/history?room=tea", "").Body, quoted(said))
		})
	}
	for _, piece := range pieces[:4] {
		write(piece)
		wait(p, answers, []string{said})
	}
	wait(p, `seen`, steps) // each piece by itself
	p.js(`stream.dispatchEvent(new MessageEvent('change', { data: changes.at(-1) }))`)
	wait(p, answers, []string{said}) // not twice

	// a page that comes or is reloaded in the middle has it whole, and goes on
	late := open(t, browser, site+"/answer.html")
	wait(late, answers, []string{said})
	p.reload()
	wait(p, answers, []string{said})
	write(pieces[4])
	for _, page := range []*tab{p, late} {
		wait(page, answers, []string{said})
	}
	// so does one that was cut off
	for _, page := range []*tab{p, late} {
		call(page, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: true, DownloadThroughput: -1, UploadThroughput: -1})
	}
	want(t, http.StatusNoContent, http.MethodDelete, "http://"+caddy.admin+"/sse_chat/hubs/default/subscribers?all", "")
	write(pieces[5])
	write(pieces[6])
	for _, page := range []*tab{p, late} {
		call(page, network.OverrideNetworkState, network.OverrideNetworkStateParams{DownloadThroughput: -1, UploadThroughput: -1})
		wait(page, answers, []string{said})
	}
	_ = model.Close()
	want(t, http.StatusOK, http.MethodPost, inside+"/update?room=tea", text("another"))
	for _, page := range []*tab{p, late} {
		wait(page, answers, []string{said, "another"})
	}
	wantReadOnly(t, site, inside, "tea")
}
