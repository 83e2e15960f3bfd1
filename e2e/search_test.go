package e2e

import (
	"fmt"
	"strings"
	"testing"
)

const (
	told       = `(p => p?.checkVisibility() ? p.textContent : '')(document.querySelector('#search p'))`
	count      = `document.querySelector('#search p button')?.textContent`
	isOver     = `document.querySelector('#search p')?.ariaBusy`
	hits       = `[...document.querySelectorAll('.hit span')].map(s => s.textContent)`
	hitMarks   = `[...document.querySelectorAll('.hit mark')].map(m => m.textContent)`
	listed     = `document.querySelector('#search ol')?.checkVisibility({ visibilityProperty: true }) ?? false`
	markedText = `document.querySelector('#messages .marked .text')?.textContent`
	inView     = `(r => r && r.top > 0 && r.bottom < innerHeight)(document.querySelector('.marked')?.getBoundingClientRect())`
	focused    = `document.activeElement.id || document.activeElement.className || document.activeElement.localName`
)

// search opens the search if it is closed, and types into it.
func (p *tab) search(term string) {
	p.t.Helper()
	if !eval[bool](p, listed) {
		p.click("#open-search")
		wait(p, listed, true)
	}
	p.js(`document.querySelector('#search input').select()`)
	p.do(write(term))
}

// finds searches and waits until as many are found, with these lines.
func (p *tab) finds(term, found string, lines ...string) {
	p.t.Helper()
	p.search(term)
	wait(p, `[`+count+`, `+isOver+`, ...`+hits+`]`, append([]string{found, "false"}, lines...))
}

func TestSearch(t *testing.T) {
	url := site(t)
	postAll(t, url+"/update",
		message{Text: "the tea is ready", Name: "Ada"},
		message{Text: "first line\nthere is a long line with Tea in it, so much of it that its beginning does not fit\nlast", Name: "지은"},
		message{Text: "로그는 여기 있습니다. 빌드가 끝났어요", Name: "지은"},
		message{Text: "\u1106\u1161\u110e\u1161 cafe\u0301", Name: "Ada"}, // decomposed 마차
		message{Text: "<mark>1+1</mark> (a.b) [c] \\d", Name: "eve"},
		message{Text: "no name"})
	all := postMany(t, url+"/update", 300)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.at(-1)`, all[299])
	p.search("tea")
	wait(p, count, "2 found")
	p.finds("tea", "2 found", "there is a long line with Tea in it, so much of it that its beginning does not fit", "the tea is ready")
	wait(p, hitMarks, []string{"Tea", "tea"})
	pages := p.asked("GET /history")

	p.finds("fit  LONG", "1 found", "there is a long line with Tea in it, so much of it that its beginning does not fit")
	wait(p, hitMarks, []string{"long", "fit"})
	p.finds("beginning", "1 found", "…in it, so much of it that its beginning does not fit")
	p.finds("지은", "2 found", "로그는 여기 있습니다. 빌드가 끝났어요", "first line")
	p.finds("지은 빌드", "1 found", "로그는 여기 있습니다. 빌드가 끝났어요")
	wait(p, hitMarks, []string{"지은", "빌드"})
	p.finds("마차", "1 found", "마차 café")
	p.finds("cafe\u0301", "1 found", "마차 café")
	p.finds("cafe", "0 found")
	p.finds("(A.B) \\d", "1 found", "<mark>1+1</mark> (a.b) [c] \\d")
	p.finds("1+1 [c]", "1 found", "<mark>1+1</mark> (a.b) [c] \\d")
	p.finds("a.e", "0 found")
	if got := p.asked("GET /history"); got != pages {
		t.Errorf("other words cost %d more requests", got-pages)
	}
	if got := eval[string](p, `document.querySelector('#search p').textContent`); !strings.Contains(got, "back to Today, ") {
		t.Errorf("it says %q", got)
	}
	p.search("")
	wait(p, told+` + `+hits, "")

	// messages that arrive meanwhile, and deleted ones
	post(t, url+"/update", "a late tea")
	wait(p, texts+`.at(-1)`, "a late tea")
	p.finds("tea late", "1 found", "a late tea")
	p.do(press(escape))
	wait(p, listed, false)
	wait(p, focused, "open-search")
}

// A hit leads to the message, and the reader can come back to the list and to the place
// before.
func TestVisitingHits(t *testing.T) {
	url := site(t)
	all := postMany(t, url+"/update", 500)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.at(-1)`, all[499])

	// beside the messages
	p.resize(1280, 640)
	p.finds("message 77", "5 found", "message 477", "message 377", "message 277", "message 177", "message 77")
	p.do(press(enter))
	wait(p, focused, "quiet hit")
	p.js(`[...document.querySelectorAll('.hit')].at(-1).click()`)
	wait(p, markedText, "message 77")
	wait(p, inView, true)
	wait(p, `document.activeElement.ariaCurrent`, "true")
	p.js(`document.querySelector('.hit').click()`)
	wait(p, markedText, "message 477")
	wait(p, listed, true)
	p.js(`[...document.querySelectorAll('#search button')].find(b => b.textContent === 'Back to where you were').click()`)
	wait(p, texts+`.at(-1)`, all[499])
	wait(p, fromEnd, 0)
	wait(p, `document.getElementById('search')`, any(nil))

	// over them, from the middle
	p.resize(360, 640)
	wait(p, fromEnd, 0)
	scroll(p, `scroller.scrollHeight / 2`)
	wait(p, pill, "To the newest message")
	middle := `[...document.querySelectorAll('#messages .text')].findLast(t => t.getBoundingClientRect().top < innerHeight / 2).textContent`
	place := eval[string](p, middle)
	p.finds("500", "1 found", "message 500")
	p.finds("111", "1 found", "message 111")
	wait(p, `document.getElementById('text').checkVisibility({ visibilityProperty: true })`, false)
	p.js(`document.querySelector('.hit').click()`)
	wait(p, markedText, "message 111")
	wait(p, inView, true)
	wait(p, listed, false)
	wait(p, `document.getElementById('text').checkVisibility({ visibilityProperty: true })`, true)
	p.js(`document.querySelector('#search p button').click()`) // the list again
	wait(p, listed, true)
	wait(p, `document.activeElement.ariaCurrent`, "true")
	p.js(`document.querySelector('.hit').click()`)
	wait(p, listed, false)
	p.js(`[...document.querySelectorAll('#search button')].find(b => b.textContent === 'Back to where you were').click()`)
	wait(p, markedText, place)
	wait(p, inView, true)

	// Escape leaves the reader with the message; another room closes the search
	p.finds("499", "1 found", "message 499")
	p.js(`document.querySelector('.hit').click()`)
	wait(p, markedText, "message 499")
	p.do(press(escape))
	wait(p, `document.getElementById('search')`, any(nil))
	wait(p, markedText, "message 499")
	p.resize(1280, 640)
	p.search("x")
	p.enterRoom("tea")
	wait(p, `document.getElementById('search')`, any(nil))
}

// Ten thousand messages take a few seconds, during which the page answers.
func TestSearchingTenThousandMessages(t *testing.T) {
	url := site(t, "retain 10000")
	all := postMany(t, url+"/update", 10_000)
	p := join(t, startBrowser(t), url, `globalThis.long = []; new PerformanceObserver(list => long.push(...list.getEntries().map(e => Math.round(e.duration)))).observe({ type: 'longtask' })`)
	wait(p, texts+`.at(-1)`, all[9999])
	p.search("x")
	wait(p, told+`.includes('back to')`, true)
	p.js(`globalThis.frames = 0; long.length = 0; globalThis.begin = performance.now(); (function frame() { frames++; requestAnimationFrame(frame) })()`)
	p.do(press(escape)) // ends it
	wait(p, `document.getElementById('search')`, any(nil))
	pages := p.asked("GET /history")
	p.search("m")
	wait(p, told+`.includes('back to')`, true)
	p.search("bot message")
	wait(p, `[`+count+`, `+isOver+`].join()`, "10,000 found,false")
	t.Logf("%v ms, %v frames, long tasks: %v", eval[float64](p, `performance.now() - begin`), eval[int](p, `frames`), eval[[]int](p, `long`))
	if got := eval[int](p, `frames`); got < 10 {
		t.Errorf("the page was painted %d times meanwhile", got)
	}
	if got := eval[int](p, `Math.max(0, ...long)`); got > 400 {
		t.Errorf("it froze for %d ms", got)
	}
	if got := p.asked("GET /history") - pages; got > 51 { // one may have been on its way
		t.Errorf("%d pages were loaded, want 50", got)
	}
	// not all hits are in the page at once
	wait(p, hits+`.length`, 100)
	p.js(`document.querySelector('#search div > button').click()`)
	wait(p, hits+`.length`, 200)
	wait(p, hits+`.at(-1)`, all[9800])
	wait(p, `document.activeElement.querySelector('span').textContent`, all[9899])
	p.search("777")
	wait(p, `[`+count+`, `+isOver+`].join()`, "19 found,false")
	wait(p, hits+`.at(-1)`, "message 777")
	if got := p.asked("GET /history") - pages; got > 51 {
		t.Errorf("another word loads pages again, %d by now", got)
	}
}

const closedHistory = `
	const ask = fetch;
	globalThis.fetch = (...asked) => globalThis.refusal && String(asked[0]).startsWith('history') ? Promise.resolve(new Response('', { status: refusal })) : ask(...asked)`

// The search says why it cannot look further, and goes on when the server is back.
func TestSearchingWithoutAServer(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 300)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url(), closedHistory)
	for status, want := range map[int]string{
		403: "0 foundEarlier messages cannot be read.",
		404: "0 foundEarlier messages cannot be read.",
		401: "0 foundYou have to log in again.",
		503: "0 foundReconnecting…",
	} {
		p.js(fmt.Sprintf(`globalThis.refusal = %d`, status))
		p.search(fmt.Sprint("message ", status))
		wait(p, told, want)
	}
	p.js(`globalThis.refusal = 0`)
	p.finds("message 277", "1 found", "message 277")
}

func TestSearchLooks(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 150)
	postAll(t, url+"/update", message{Text: "Morning! Did the night build go through?", Name: "Ada"},
		message{Text: "네, 3시쯤 끝났어요. 로그는 https://ci.example.org/runs/4821 에 있습니다.", Name: "지은"},
		message{Text: strings.Repeat("before ", 20) + "the build " + strings.Repeat("after ", 20) + strings.Repeat("long", 40), Name: strings.Repeat("Rumpelstilzchen", 3)})
	p := join(t, startBrowser(t), url)
	p.search("build")
	wait(p, isOver, "false")
	p.everyLook("search")
	p.click(".hit")
	p.everyLook("search-visited")
	p.media("forced-colors", "active")
	p.screenshot("look-search-forced-colors")
	p.visit(url + "/?lang=ko")
	p.search("message")
	p.resize(320, 480)
	wait(p, isOver, "false")
	p.fits("search in Korean")
	p.screenshot("look-search-ko-320")
	p.js(`document.querySelector('#search div > button').scrollIntoView()`)
	p.screenshot("look-search-ko-more-320")
	p.click(".hit")
	p.screenshot("look-search-visited-ko-320")
}

// Going back closes the search, and stays in the room.
func TestGoingBackFromTheSearch(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 100)
	p := join(t, startBrowser(t), url)
	p.enterRoom("tea")
	p.enterRoom("lobby")
	wait(p, texts+`.length`, 50)
	p.resize(320, 568)
	isOpen := `document.getElementById('search') !== null`
	title := `document.getElementById('room').textContent`
	for _, end := range []func(){p.back, func() { p.do(press(escape)) }, func() { p.js(`document.querySelector('#search [aria-label="Close"]').click()`) }} {
		p.finds("39", "1 found", "message 39")
		end()
		wait(p, isOpen, false)
		wait(p, `history.state`, any(nil))
		wait(p, title, "Lobby")
	}
	p.finds("39", "1 found", "message 39")
	p.js(`document.querySelector('.hit').click()`)
	wait(p, listed, false)
	p.back()
	wait(p, isOpen, false)
	wait(p, title, "Lobby")
	p.back()
	wait(p, title, "tea")
}
