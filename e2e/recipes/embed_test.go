package recipes

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/e2e/internal/chromium"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// of the page in public
const (
	live     = `document.body?.dataset.connection === 'live'`
	messages = `[...document.querySelectorAll('#messages .text')].map((text) => text.textContent)`
	nickname = `document.getElementById('name').value`
)

// of a page with a frame far below
const (
	far       = `<!doctype html><p style="margin-bottom: 3000px">Hello</p>`
	untouched = `document.activeElement.tagName + ' ' + scrollY`
)

// withMouse is a Chromium with a mouse; a headless one has none, and the page then
// leaves the focus alone.
var withMouse = chromedp.Flag("blink-settings", "primaryHoverType=2,availableHoverTypes=2")

// say sends a message in the page of public, and waits until it is stored.
func (p *tab) say(text string) {
	p.t.Helper()
	p.js(fmt.Sprintf(`(() => {
		const field = document.getElementById('text');
		field.value = %q;
		field.dispatchEvent(new Event('input', { bubbles: true }));
		document.getElementById('composer').requestSubmit();
	})()`, text))
	wait(p, messages+`.includes(`+strconv.Quote(text)+`) && document.querySelectorAll('#messages .pending').length`, 0)
}

// rename sets the name in the page of public.
func (p *tab) rename(name string) {
	p.t.Helper()
	p.js(fmt.Sprintf(`document.getElementById('name').value = %q; document.getElementById('self').requestSubmit()`, name))
	wait(p, `document.getElementById('name').classList.contains('name')`, true) // the rules of names are loaded first
}

// hostOf serves a page in an origin of its own, and returns its address.
func hostOf(t *testing.T, page string) string {
	t.Helper()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(host.Close)
	return strings.Replace(host.URL, "127.0.0.1", "localhost", 1)
}

// The chat works in a page of another site, with a storage for that site alone,
// and in no other.
func TestEmbed(t *testing.T) {
	// localhost is another site for a browser
	chat := "http://127.0.0.1:" + chattest.FreePort(t)
	page := recipe(t, "embed.html", "https://chat.example.com", chat)
	host, other := hostOf(t, far+page), hostOf(t, page)
	sandbox := hostOf(t, strings.Replace(page, "<iframe", `<iframe sandbox="allow-scripts allow-same-origin allow-forms"`, 1))
	runCaddy(t, chat, recipe(t, "embed.Caddyfile", "chat.example.com", chat, "https://www.example.org", host+" "+sandbox))
	browser := chromium.Start(t, withMouse)

	p := open(t, browser, host)
	frame := p.frame(chat)
	wait(frame, live, true)
	wait(p, untouched, "BODY 0")
	frame.rename("kim")
	frame.say("hello from the frame")
	wait(frame, messages, []string{"hello from the frame"})
	want(t, http.StatusOK, http.MethodPost, chat+"/update?room=help", `{"text":"how can we help?","name":"desk"}`)
	wait(frame, messages, []string{"hello from the frame", "how can we help?"})
	if a := want(t, http.StatusOK, http.MethodGet, chat+"/history?room=help", ""); !strings.Contains(a.Body, `"name":"kim"`) {
		t.Errorf("history: %s", a.Body)
	}
	frame.js(`document.cookie = 'session=lax; SameSite=Lax'; document.cookie = 'partitioned=yes; SameSite=None; Secure; Partitioned'`)
	wait(frame, `document.cookie`, "partitioned=yes")

	// what the browser keeps, it keeps for that site alone
	p.reload()
	frame = p.frame(chat)
	wait(frame, live, true)
	wait(frame, nickname, "kim")
	wait(frame, messages, []string{"hello from the frame", "how can we help?"})
	itself := open(t, browser, chat+"/?room=help")
	wait(itself, live, true)
	wait(itself, messages, []string{"hello from the frame", "how can we help?"})
	wait(itself, `document.activeElement.id`, "text")
	wait(itself, nickname, "")
	wait(itself, `document.cookie`, "")
	itself.say("and from a tab")
	for _, page := range []*tab{itself, frame} {
		wait(page, messages+`.at(-1)`, "and from a tab")
	}

	// a second host, with what it grants a sandbox
	q := open(t, browser, sandbox)
	frame = q.frame(chat)
	wait(frame, live, true)
	wait(frame, nickname, "kim") // the hosts are of one site
	frame.say("from the sandbox")
	wait(frame, messages+`.at(-1)`, "from the sandbox")
	wantNoFrame(t, newTab(t, browser), other, chat)

	// without the recipe, nobody can frame it
	chat = "http://127.0.0.1:" + chattest.FreePort(t)
	runCaddy(t, chat, recipe(t, "../../Caddyfile", ":3000 {", chat+" {"))
	wantNoFrame(t, newTab(t, browser), hostOf(t, recipe(t, "embed.html", "https://chat.example.com", chat)), chat)
}

// wantNoFrame fails unless the browser refuses the chat in a frame of a host.
func wantNoFrame(t *testing.T, p *tab, host, chat string) {
	t.Helper()
	p.unruly.Store(true)
	console := chromedp.Console(p.ctx)
	refused := make(chan string, 1)
	go func() {
		for message, err := range console {
			if err == nil && message.Source == "security" {
				select {
				case refused <- fmt.Sprint(message):
				default:
				}
			}
		}
	}()
	p.visit(host)
	var reason string
	select {
	case reason = <-refused:
	case <-time.After(chattest.Patience):
	}
	if !strings.Contains(reason, "frame-ancestors") || !strings.Contains(reason, chat) {
		t.Errorf("the browser says %q", reason)
	}
}

// But for who may frame it, the policy is that of the page's own Caddyfile.
func TestThePolicyOfTheEmbeddedPage(t *testing.T) {
	policy := regexp.MustCompile(`Content-Security-Policy "(.*)frame-ancestors [^;]*(.*)"`)
	got := policy.FindStringSubmatch(recipe(t, "embed.Caddyfile"))
	wanted := policy.FindStringSubmatch(recipe(t, "../../Caddyfile"))
	if len(got) != 3 || len(wanted) != 3 || got[1] != wanted[1] || got[2] != wanted[2] {
		t.Errorf("the policies are\n%q, want\n%q", got, wanted)
	}
}

// A frame takes neither the focus of its host nor scrolls it.
func TestTheFrameLeavesItsHostAlone(t *testing.T) {
	site := freeURL(t)
	folder := t.TempDir()
	writeIn(t, folder, "index.html", far+`<iframe src="/chat/"></iframe>`)
	runCaddy(t, site, recipe(t, "subpath.Caddyfile", "www.example.com", site, "root site", "root "+folder))
	p := open(t, chromium.Start(t, withMouse), site)
	wait(p, `frames[0].document.body?.dataset.connection`, "live")
	wait(p, untouched, "BODY 0")
}

// The page and all that it asks for is below the path, and the rest of the site
// has its own.
func TestSubpath(t *testing.T) {
	site := freeURL(t)
	folder := t.TempDir()
	writeIn(t, folder, "index.html", "<!doctype html><title>Home</title><a href='/chat?room=tea'>chat</a>")
	runCaddy(t, site, recipe(t, "subpath.Caddyfile", "www.example.com", site, "root site", "root "+folder))
	p := open(t, chromium.Start(t), site)
	wait(p, `document.title`, "Home")
	p.click("a")
	wait(p, live, true)
	wait(p, `location.pathname + location.search`, "/chat/?room=tea")
	p.rename("kim")
	p.say("below a path")
	wait(p, messages, []string{"below a path"})
	want(t, http.StatusOK, http.MethodPost, site+"/chat/update?room=tea", text("from a bot"))
	wait(p, messages, []string{"below a path", "from a bot"})
	p.reload()
	wait(p, live, true)
	wait(p, messages, []string{"below a path", "from a bot"})
	wait(p, nickname, "kim")
	wait(p, `performance.getEntriesByType('resource').map((r) => new URL(r.name).pathname).filter((path) => !path.startsWith('/chat/'))`, []string{})
	// another room, and back
	p.js(`document.getElementById('go-to').value = 'cake'; document.getElementById('go').requestSubmit()`)
	wait(p, `location.pathname + location.search`, "/chat/?room=cake")
	p.say("cake")
	wait(p, messages, []string{"cake"})
	p.js(`history.back()`)
	wait(p, messages, []string{"below a path", "from a bot"})

	for _, path := range []string{"/subscribe", "/history", "/script.js", "/chats/", "/chat/none"} {
		want(t, http.StatusNotFound, http.MethodGet, site+path, "")
	}
	want(t, http.StatusNotFound, http.MethodPost, site+"/update", text("x"))
	if a := want(t, http.StatusFound, http.MethodGet, site+"/chat", ""); a.Header.Get("Location") != "/chat/" {
		t.Errorf("/chat leads to %q", a.Header.Get("Location"))
	}
}
