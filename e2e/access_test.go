package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// axe fails the test for each accessibility problem.
func (p *tab) axe(when string) {
	p.t.Helper()
	if !eval[bool](p, `'axe' in globalThis`) {
		p.js(testTool(p.t, "axe-core/axe.min.js"))
	}
	violations := eval[[]json.RawMessage](p, `axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
		.then(({ violations }) => violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map((n) => n.html + ' ' + n.failureSummary) })))`)
	for _, v := range violations {
		p.t.Errorf("%s: %s", when, v)
	}
}

// testTool reads a file of a package that npm ci has installed.
func testTool(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("node_modules/" + name)
	if err != nil {
		t.Fatalf("%v; run npm ci in e2e", err)
	}
	return string(content)
}

var looks = []struct {
	scheme string
	width  int64
}{{"light", 1280}, {"light", 320}, {"dark", 1280}, {"dark", 320}}

// everyLook checks a state of the page in all colour schemes, and that nothing is
// wider than the window.
func (p *tab) everyLook(name string) {
	p.t.Helper()
	for _, look := range looks {
		when := fmt.Sprintf("%s-%s-%d", name, look.scheme, look.width)
		p.media("prefers-color-scheme", look.scheme)
		p.resize(look.width, 640)
		wait(p, `innerWidth`, float64(look.width))
		p.js(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`)
		p.axe(when)
		p.fits(when)
		p.screenshot("look-" + when)
	}
}

func (p *tab) fits(when string) {
	p.t.Helper()
	wide := eval[[]string](p, `[...document.querySelectorAll('body, body *')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('[data-shown=false]')).map(e => e.outerHTML.slice(0, 90))`)
	if len(wide) > 0 {
		p.t.Errorf("%s: wider than the window: %q", when, wide)
	}
}

func TestAccessibility(t *testing.T) {
	url := site(t, "max_text 200")
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.everyLook("empty")

	p.resize(1280, 640)
	p.js(`document.getElementById('ask-name').focus()`)
	p.do(write("jamie"), press(enter))
	postAll(t, url+"/update?room=tea", message{Text: "tea is ready", Name: "지은"})
	p.enterRoom("tea")
	wait(p, texts, []string{"tea is ready"})
	p.back()
	wait(p, `document.title`, "Lobby")
	for _, m := range []message{
		{Text: "Morning! Did the night build go through?", Name: "Ada"},
		{Text: "네, 3시쯤 끝났어요. 로그는 https://ci.example.org/runs/4821 에 있습니다.", Name: "지은"},
		{Text: "두 개가 느렸지만 모두 통과했습니다.", Name: "지은"},
		{Text: "🎉🎉", Name: "Ada"},
	} {
		postAll(t, url+"/update", m)
	}
	wait(p, texts+`.length`, 4)
	p.act("두 개가 느렸지만 모두 통과했습니다.", "👍")
	p.act("두 개가 느렸지만 모두 통과했습니다.", "Reply")
	p.say("Great, then I will **ship it** after tea.")
	wait(p, quotes, []string{"지은 두 개가 느렸지만 모두 통과했습니다."})
	postAll(t, url+"/update?room=tea", message{Text: "more tea", Name: "지은"})
	wait(p, texts+`.length`, 5)
	wait(p, roomList, []string{"Lobby", "tea 1"})
	// for the README
	p.media("prefers-color-scheme", "light")
	p.resize(960, 560)
	p.screenshot("readme-light")
	p.media("prefers-color-scheme", "dark")
	p.resize(360, 560)
	p.screenshot("readme-dark")
	p.resize(1280, 640)
	postAll(t, url+"/update", message{Text: "בהצלחה!", Name: "נועה"}, message{Text: strings.Repeat("long", 40), Name: strings.Repeat("Rumpelstilzchen", 4)})
	wait(p, texts+`.length`, 7)
	wait(p, pendings+`.length`, 0)
	wait(p, roomList, []string{"Lobby", "tea 1"})
	p.everyLook("loaded")

	p.resize(320, 640)
	p.click("#open-menu")
	wait(p, `document.getElementById('menu').matches(':popover-open')`, true)
	p.axe("menu")
	p.screenshot("look-menu-320")
	p.do(press(escape))
	wait(p, `document.getElementById('menu').matches(':popover-open')`, false)

	p.js(`document.getElementById('text').focus()`)
	p.do(write(strings.Repeat("too long for this server ", 10)), press(enter))
	wait(p, failures+`.length`, 1)
	p.everyLook("failed")

	p.offline(true)
	network.Disconnect()
	network.Cut(true)
	wait(p, `document.getElementById('status').dataset.shown`, "true")
	p.say("sent later")
	wait(p, pendings, []string{"sent later"})
	p.everyLook("offline")

	p.media("forced-colors", "active")
	p.screenshot("look-forced-colors")
	p.axe("forced colours")
}

// Everything works at 200 % zoom and on the smallest phone.
func TestZoom(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 20)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.length`, 20)
	for _, size := range [][2]int64{{640, 360}, {320, 256}, {320, 480}} {
		p.resize(size[0], size[1])
		p.js(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`)
		when := fmt.Sprint(size)
		p.fits(when)
		if got := eval[float64](p, `document.getElementById('scroller').clientHeight`); got < 60 {
			t.Errorf("%s: only %v pixels are left for messages", when, got)
		}
		if got := eval[bool](p, `(r => r.bottom <= innerHeight && r.top >= 0)(document.getElementById('send').getBoundingClientRect())`); !got {
			t.Errorf("%s: the button to send is out of the window", when)
		}
		p.screenshot(fmt.Sprintf("zoom-%d-%d", size[0], size[1]))
	}
	small := eval[[]string](p, `[...document.querySelectorAll('button, input, textarea, a')].filter(e => e.checkVisibility() && e.type !== 'checkbox').filter(e => e.getBoundingClientRect().height < 44).map(e => e.outerHTML)`)
	if len(small) > 0 {
		t.Errorf("too small to be touched: %q", small)
	}
	if got := eval[float64](p, `parseFloat(getComputedStyle(document.getElementById('text')).fontSize)`); got < 16 {
		t.Errorf("the field has letters of %v pixels, into which phones zoom", got)
	}
}

// The question for a name is one line, and so is the header.
func TestTheQuestionIsOneLine(t *testing.T) {
	t.Parallel()
	site := site(t)
	chromium := startBrowser(t)
	for _, lang := range []string{"en", "ko"} {
		p := open(t, chromium, site+"/?lang="+lang+"&room="+strings.Repeat("long", 16))
		wait(p, state, "live")
		for _, width := range []int64{320, 360, 390, 480, 640, 700, 960, 1280} {
			p.resize(width, 568)
			when := fmt.Sprintf("ask-%s-%d", lang, width)
			p.fits(when)
			if got := eval[float64](p, `document.getElementById('ask').offsetHeight`); got > 60 {
				t.Errorf("%s: the question is %v pixels high", when, got)
			}
			if got := eval[float64](p, `document.getElementById('bar').offsetHeight`); got > 57 {
				t.Errorf("%s: the header is %v pixels high", when, got)
			}
			if got := eval[bool](p, `(i => { const c = document.createElement('canvas').getContext('2d'); c.font = getComputedStyle(i).font; return c.measureText(i.placeholder).width <= i.clientWidth - 28 })(document.getElementById('ask-name'))`); !got {
				t.Errorf("%s: the placeholder is cut", when)
			}
			if width == 320 {
				p.screenshot(when)
			}
		}
	}
}

// Everything works with the keyboard alone.
func TestKeyboardAlone(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 120)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.length`, 50)
	// the first Tab begins at the top of the page
	p.js(`document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute('tabindex')`)
	var order []string
	for range 13 {
		p.do(press(tabKey))
		order = append(order, eval[string](p, `document.activeElement.id || document.activeElement.localName`))
		if eval[string](p, `getComputedStyle(document.activeElement).outlineStyle`) == "none" {
			t.Errorf("the focus on %s cannot be seen", order[len(order)-1])
		}
		if order[len(order)-1] == "older" { // it is at the top; the pill leads back down
			wait(p, `document.getElementById('pill').checkVisibility()`, true)
		}
	}
	want := "go-to button name notify sound here open-search scroller older pill ask-name button ask-not"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("Tab goes through %q, want %q", got, want)
	}
	// the log scrolls, and the button for earlier messages keeps the focus
	p.js(`document.getElementById('older').focus()`)
	p.do(press(space))
	wait(p, texts+`.length > 50`, true)
	p.js(`document.getElementById('older').focus()`)
	p.do(press(space))
	wait(p, texts+`.length`, 120)
	wait(p, `document.activeElement.id`, "scroller")
	p.js(`document.getElementById('text').focus()`)
	p.do(write("hello"), press(tabKey), press(space))
	wait(p, texts+`.at(-1)`, "hello")
}

// A screen reader reads new messages, but not old ones or bulk arrivals.
func TestTheLog(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 30)
	p := join(t, startBrowser(t), url, `
		globalThis.read = [];
		new MutationObserver((list) => {
			if (document.getElementById('scroller')?.ariaBusy === 'true') return;
			for (const { addedNodes } of list) for (const node of addedNodes) if (node.localName === 'li' && node.parentNode?.id === 'messages') read.push(node.querySelector('.text').textContent);
		}).observe(document, { childList: true, subtree: true });`)
	wait(p, texts+`.length`, 30)
	wait(p, `(s => [s.role, s.ariaLive, s.ariaLabel, s.ariaBusy, s.tabIndex, s.getAttribute('aria-relevant')].join())(document.getElementById('scroller'))`, "log,polite,Messages,false,0,additions")
	post(t, url+"/update", "news")
	wait(p, texts+`.at(-1)`, "news")
	p.say("mine")
	wait(p, texts+`.at(-1)`, "mine")
	wait(p, pendings+`.length`, 0)
	wait(p, `read`, []string{"news", "mine"})
}

func TestReducedMotion(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	moving := `document.getAnimations().length + [...document.querySelectorAll('*')].filter(e => getComputedStyle(e).animationName !== 'none' || getComputedStyle(e).scrollBehavior === 'smooth' || getComputedStyle(e).transitionDuration !== '0s').length`
	p.media("prefers-reduced-motion", "reduce")
	p.say("hello")
	wait(p, texts+`.length`, 1)
	wait(p, moving, 0)
}

func TestLanguages(t *testing.T) {
	url := site(t)
	p := newTab(t, startBrowser(t))
	for _, c := range []struct{ languages, query, want string }{
		{"ko-KR,ko;q=0.9", "", "ko 로비 메시지 보내기"},
		{"ko-KR,ko;q=0.9", "?lang=en", "en Lobby Message Send"},
		{"en-US,ko", "", "en Lobby Message Send"},
		{"de-DE,ko", "", "ko 로비 메시지 보내기"},
		{"fr", "", "en Lobby Message Send"},
		{"fr", "?lang=ko", "ko 로비 메시지 보내기"},
		{"kok-IN, eng, en-GB, ko", "", "en Lobby Message Send"},
		{"ko", "?lang=fr", "ko 로비 메시지 보내기"},
	} {
		call(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "test", AcceptLanguage: c.languages})
		p.visit(url + "/" + c.query)
		wait(p, `[document.documentElement.lang, document.title, document.getElementById('text').placeholder, document.getElementById('send').textContent].join(' ')`, c.want)
	}
	wait(p, state, "live")
	post(t, url+"/update", "하나")
	wait(p, texts, []string{"하나"})
	p.screenshot("korean")
}

// wrongTexts returns what is wrong with the languages of a folder with the page.
func wrongTexts(t *testing.T, folder string) (wrong []string) {
	t.Helper()
	out, err := exec.Command("node", "words.mjs", folder).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &wrong); err != nil {
		t.Fatal(err)
	}
	return wrong
}

func TestTheTexts(t *testing.T) {
	t.Parallel()
	if wrong := wrongTexts(t, "../public"); len(wrong) > 0 {
		t.Errorf("the texts are wrong:\n%s", strings.Join(wrong, "\n"))
	}
}

// Another language is a file, and its name in a list.
func TestAnotherLanguage(t *testing.T) {
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("../public")); err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	words, err := os.ReadFile("../public/page.js")
	if err != nil {
		t.Fatal(err)
	}
	write("page.js", strings.Replace(string(words), "(en|ko)", "(en|ko|pl)", 1))
	write("pl.js", `import en from './en.js';
		const { lobby, ...rest } = en;
		export default { ...rest, over: 'za wiele', more_few: '{0} nowe', more_many: '{0} nowych', more_two: '', hall: 'Hol' };`)
	want := []string{
		"pl has no lobby", "pl has no here_few", "pl has no here_many",
		"pl has more_two, which is not used", "pl has hall, which is not used", "pl has no values in over, not {0}",
	}
	wrong := wrongTexts(t, folder)
	for _, w := range want {
		if !slices.Contains(wrong, w) {
			t.Errorf("it is not noticed that %s", w)
		}
	}
	if slices.Contains(wrong, "pl has no more_few") {
		t.Errorf("a text that is there is missed: %q", wrong)
	}

	write("pl.js", `import en from './en.js';
		const counts = Object.entries(en).filter(([key]) => key.endsWith('_other'));
		const forms = counts.flatMap(([key, text]) => ['few', 'many'].map((form) => [key.replace('other', form), form + text]));
		export default { ...en, ...Object.fromEntries(forms), lobby: 'Hol' };`)
	if wrong := wrongTexts(t, folder); len(wrong) > 0 {
		t.Errorf("a language without a mistake has %q", wrong)
	}
	port := chattest.FreePort(t)
	serve(t, port, folder)
	p := newTab(t, startBrowser(t))
	call(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "test", AcceptLanguage: "pl-PL,ko"})
	p.visit("http://localhost:" + port + "/")
	wait(p, `document.documentElement.lang + document.title`, "plHol")
	wait(p, `import('./page.js').then(({ sayCount }) => [1, 3, 5].map((n) => sayCount('more', n)))`,
		[]string{"1 new message", "few3 new messages", "many5 new messages"})
}

func TestWithoutScripts(t *testing.T) {
	p := newTab(t, startBrowser(t))
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.visit(site(t) + "/")
	text := run(p, chromedp.Text(chromedp.CSS("noscript")))
	if !strings.Contains(text, "needs JavaScript") {
		t.Errorf("without scripts the page says %q", text)
	}
}
