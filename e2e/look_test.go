package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
)

const (
	// the last message
	last = `[...document.querySelectorAll('#messages article')].at(-1)`
	// the words on the button that folds it, '' for none
	folder = `(b => b?.checkVisibility({ visibilityProperty: true }) ? b.textContent + ' ' + b.ariaExpanded : '')(` + last + `.querySelector('.fold'))`
	lines  = `Math.round((` + last + `.querySelector('.text').offsetHeight - 16) / 24)`
)

// More than twenty lines fold, and nothing else.
func TestALongMessageFolds(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.resize(800, 1600)
	for _, test := range []struct {
		text, want string
		lines      int
	}{
		{strings.Repeat("a\n", 19) + "a", "", 20},
		{strings.Repeat("a\n", 20) + "a", "Show more false", 20},
		{strings.Repeat("\n", 4000) + "a", "Show more false", 20},
		{strings.Repeat("word ", 150), "", 0},
		{strings.Repeat("word ", 1000), "Show more false", 20},
		{strings.Repeat("x", 5000), "Show more false", 20},
		{strings.Repeat("가", 2000), "Show more false", 20},
		{"a" + strings.Repeat("\u0301", 3000), "", 1},
		{"```\n" + strings.Repeat("a\n", 300) + "```", "Show more false", 20},
		{strings.Repeat("> a\n", 300), "Show more false", 20},
	} {
		post(t, url+"/update", test.text)
		trimmed := strings.TrimSpace(test.text)
		wait(p, last+`.textContent.length > 0 && `+folder, test.want)
		if got := eval[int](p, lines); test.lines > 0 && got != test.lines {
			t.Errorf("%.20q… has %d lines, want %d", trimmed, got, test.lines)
		}
		wait(p, fromEnd, 0)
	}
	p.screenshot("folded")
	// 20 lines at one width may be more at another
	post(t, url+"/update", strings.Repeat("word ", 200))
	wait(p, folder, "")
	p.resize(320, 640)
	wait(p, folder, "Show more false")
	p.resize(800, 640)
	wait(p, folder, "")
}

// Folding keeps the place of the reader, and what it has unfolded stays so.
func TestUnfolding(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	postMany(t, url+"/update", 20)
	id := p.author("word ")
	p.change("PATCH", id, `JSON.stringify({ append: 'words and '.repeat(400) + '`+"`code`"+` ' })`)
	wait(p, folder, "Show more false")
	wait(p, fromEnd, 0)
	top := last + `.getBoundingClientRect().top`
	was := eval[float64](p, top)
	p.js(last + `.querySelector('.fold').focus({ preventScroll: true })`)
	p.do(press(space))
	wait(p, folder, "Show less true")
	wait(p, top, was)
	wait(p, pill, "To the newest message") // the reader is no longer at the end

	// it grows, and the focus stays
	for _, more := range []string{" more", " and more"} {
		p.change("PATCH", id, `'{"append":"`+more+`"}'`)
		wait(p, last+`.textContent.includes('`+more+`')`, true)
		wait(p, folder+` + document.activeElement.className`, "Show less truequiet fold")
	}
	wait(p, top, was)
	post(t, url+"/update", "next")
	wait(p, texts+`.at(-1)`, "next")
	wait(p, `document.querySelector('.fold').textContent`, "Show less")
	p.js(`document.querySelector('.fold').scrollIntoView({ block: 'center' })`)
	bottom := `Math.round(document.querySelector('.fold').getBoundingClientRect().bottom)`
	at := eval[float64](p, bottom)
	p.do(press(space))
	wait(p, `document.querySelector('.fold').ariaExpanded`, "false")
	if got := eval[float64](p, bottom); got < at-60 || got > at+60 {
		t.Errorf("the end of the text moves from %v to %v", at, got)
	}

	// what is searched for, or has the focus, unfolds
	post(t, url+"/update", strings.Repeat("a\n", 30)+"https://a.example\n"+strings.Repeat("a\n", 30))
	wait(p, folder, "Show more false")
	p.js(last + `.querySelector('a').focus()`)
	wait(p, folder, "Show less true")
	wait(p, `(r => r.top > 0 && r.bottom < innerHeight)(`+last+`.querySelector('a').getBoundingClientRect())`, true)
}

// Code that is wider than the page scrolls by itself, also by keyboard.
func TestCodeScrolls(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	post(t, url+"/update", "see `x`\n```go\n"+strings.Repeat("wide ", 100)+"\n```\nend")
	wait(p, `document.querySelector('#messages pre').scrollWidth > document.querySelector('#messages pre').clientWidth`, true)
	wait(p, `[...document.querySelectorAll('#messages code, #messages pre')].map(e => getComputedStyle(e).fontFamily.includes('monospace')).join()`, "true,true")
	p.js(`document.getElementById('scroller').focus()`)
	p.do(press(tabKey))
	wait(p, `document.activeElement.localName`, "pre")
	p.do(press(arrowRight))
	wait(p, `document.querySelector('#messages pre').scrollLeft > 0`, true)
	// it is copied as it is shown
	copied := `(s => { s.selectAllChildren(document.querySelector('#messages .text')); return s.toString() })(getSelection())`
	wait(p, copied, "see x\n"+strings.Repeat("wide ", 100)+"\nend")
	p.js(`getSelection().empty()`)
	post(t, url+"/update", "> quoted **bold** *italic* ~~struck~~ `code`\n\n> שלום `a + b`\n* one\n* two 안녕 www.a.example\n```\nshort\n```")
	post(t, url+"/update", strings.Repeat("a long text\n", 30))
	wait(p, texts+`.length`, 3)
	p.everyLook("folded")
	p.say("mine " + strings.Repeat("**words** and ", 400))
	wait(p, pendings+`.length`, 0)
	p.js(`document.querySelector('.own .fold').click(); document.querySelector('.own').scrollIntoView()`)
	p.everyLook("unfolded")
	p.js(`document.querySelector('#messages').scrollIntoView()`)
	p.everyLook("text")
}

// Each line has its own direction.
func TestDirections(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	post(t, url+"/update", "hello (world)!\nשלום (עולם)!\n> كيف\n> fine\nhttps://a.kr/ שלום")
	wait(p, texts+`.length`, 1)
	// the distance of each line from the left
	got := eval[[]float64](p, `(() => {
		const body = document.querySelector('#messages .text');
		const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
		const lefts = new Map();
		const range = document.createRange();
		while (walker.nextNode()) {
			range.selectNodeContents(walker.currentNode);
			for (const { left, top, width } of range.getClientRects()) if (width) lefts.set(Math.round(top), Math.min(left, lefts.get(Math.round(top)) ?? 1e6));
		}
		return [...lefts].sort(([a], [b]) => a - b).map(([, left]) => left - body.getBoundingClientRect().left);
	})()`)
	if len(got) != 5 || got[0] > 20 || got[1] < 30 || got[2] < 30 || got[3] > 40 {
		t.Errorf("the lines begin at %v", got)
	}
	p.screenshot("directions")
}

// Marks that are stacked high do not cover what is above.
func TestStackedMarks(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url+"/?room=tea", `localStorage.setItem('unused', '')`)
	stack := "\u00e9" + strings.Repeat("\u0301", 25)
	postAll(t, url+"/update?room=tea", message{Text: "before"}, message{Text: "e" + strings.Repeat("\u0301", 60), Name: stack}, message{Text: "가 ệ ỹ ที่ปู้ gjpqy", Name: "ที่ gjpqy"}, message{Text: "👍🏽"})
	wait(p, texts+`.length`, 4)
	wait(p, `[...document.querySelectorAll('#messages .text, #messages bdi')].map(e => getComputedStyle(e).overflowY).filter(o => o !== 'clip' && o !== 'hidden')`, []string{})
	wait(p, `getComputedStyle(document.querySelector('#messages bdi')).display !== 'inline'`, true)
	p.screenshot("marks")
}

// Times are those of the browser's clock, whatever language the page has.
func TestTheClock(t *testing.T) {
	url := site(t)
	p := newTab(t, startBrowser(t))
	for _, c := range []struct{ languages, query, want string }{
		{"en-US,en", "", "9:05 AM|9:05 PM|12:05 AM"},
		{"en-GB,en", "", "09:05|21:05|00:05"},
		{"de", "", "09:05|21:05|00:05"},
		{"fr-FR,en-US", "", "09:05|21:05|00:05"},
		{"ja", "", "09:05|21:05|00:05"},
		{"ko-KR", "", "오전 9:05|오후 9:05|오전 12:05"},
		{"de-DE", "?lang=ko", "09:05|21:05|00:05"},
		{"en-US", "?lang=ko", "오전 9:05|오후 9:05|오전 12:05"},
		{"ko", "?lang=en", "9:05 AM|9:05 PM|12:05 AM"},
	} {
		call(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "test", AcceptLanguage: c.languages})
		p.visit(url + "/" + c.query)
		// not each browser has the same space before AM
		wait(p, `import('./page.js').then(({ timeOf }) => [9, 21, 0].map(h => timeOf(new Date(2026, 0, 1, h, 5))).join('|').replace(/\s/g, ' '))`, c.want)
		full := eval[string](p, `import('./page.js').then(({ momentOf }) => momentOf(new Date(2026, 0, 1, 21, 5)).replace(/\s/g, ' '))`)
		if time := strings.Split(c.want, "|")[1]; !strings.Contains(full, strings.Split(time, " ")[0]) {
			t.Errorf("%s: %q has another clock than %q", c.languages, full, time)
		}
	}
}

// All loaded messages are printed, and only they.
func TestPrinting(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	pages := func() int {
		t.Helper()
		pdf := call(p, page.PrintToPDF, page.PrintToPDFParams{}).Data
		return bytes.Count(pdf, []byte("/Type /Page\n"))
	}
	if got := pages(); got != 1 {
		t.Errorf("an empty room has %d pages", got)
	}
	postMany(t, url+"/update", 100)
	wait(p, texts+`.at(-1)`, "message 100")
	p.js(`document.getElementById('older').click()`)
	wait(p, texts+`.length`, 100)
	if got := pages(); got < 3 || got > 8 {
		t.Errorf("a hundred messages have %d pages", got)
	}
	post(t, url+"/update", strings.Repeat("a *line*\n", 400))
	wait(p, texts+`.length`, 101)
	before := pages()
	if before < 8 {
		t.Errorf("with a folded text there are %d pages", before)
	}
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	for expression, want := range map[string]any{
		`[...document.querySelectorAll('#menu, #composer, #ask, #status, button')].filter(e => e.checkVisibility()).map(e => e.outerHTML)`: "[]",
		`[...document.querySelectorAll('#messages .day, #messages .name, #messages time, #room')].every(e => e.checkVisibility())`:         "true",
		`getComputedStyle(document.body).backgroundColor + getComputedStyle(document.querySelector('.text')).color`:                        "rgb(255, 255, 255)rgb(0, 0, 0)",
		`getComputedStyle(document.querySelector('.text')).backgroundColor`:                                                                "rgb(255, 255, 255)",
	} {
		if got := fmt.Sprint(eval[any](p, expression)); got != want {
			t.Errorf("in print, %s is %v, want %v", expression, got, want)
		}
	}
	p.screenshot("print")
}
