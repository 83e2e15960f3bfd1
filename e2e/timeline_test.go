package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
)

// placeOf is how far below the top of the window a message stands.
func placeOf(p *tab, text string) float64 {
	p.t.Helper()
	return eval[float64](p, fmt.Sprintf(`[...document.querySelectorAll('#messages .text')].find(t => t.textContent === %q)?.getBoundingClientRect().top ?? -1e6`, text))
}

// scroll scrolls as a reader would: again if the window's height changed in the
// same moment, because then the page returns to the end.
func scroll(p *tab, to string) {
	p.t.Helper()
	wait(p, fmt.Sprintf(`new Promise((done) => {
		const scroller = document.getElementById('scroller');
		const rows = document.querySelectorAll('#messages .text').length;
		const to = %s;
		scroller.scrollTop = to;
		const look = () => done(Math.abs(scroller.scrollTop - to) < 2 || document.querySelectorAll('#messages .text').length > rows);
		requestAnimationFrame(() => requestAnimationFrame(look));
	})`, to), true)
}

func TestEarlierMessagesAreLoadedWithoutAJump(t *testing.T) {
	url := site(t)
	all := postMany(t, url+"/update", 230)
	p := join(t, startBrowser(t), url)
	wait(p, texts, all[180:])
	wait(p, fromEnd, 0)

	// by scrolling
	place := placeOf(p, "message 181")
	scroll(p, `0`)
	wait(p, texts, all[130:])
	moved := eval[float64](p, `document.getElementById('scroller').scrollTop`)
	if now := placeOf(p, "message 181"); moved < 1000 || now < 0 || now-place > 1e5 {
		t.Errorf("after the page before was loaded, the message that was first stands at %v, scrolled by %v", now, moved)
	}

	// by the button, exactly to the pixel
	p.js(`document.getElementById('older').scrollIntoView = null; document.getElementById('scroller').scrollTop = 500`)
	first := eval[string](p, `(e => [...document.querySelectorAll('#messages .text')].find(t => t.getBoundingClientRect().bottom > e).textContent)(document.getElementById('scroller').getBoundingClientRect().top)`)
	before := placeOf(p, first)
	p.js(`document.getElementById('older').click()`)
	wait(p, texts+`.length`, 150)
	if after := placeOf(p, first); after-before > 1 || before-after > 1 {
		t.Errorf("%s has jumped from %v to %v", first, before, after)
	}

	for range 3 {
		p.js(toTop)
		wait(p, `document.getElementById('scroller').scrollTop > 0 || document.getElementById('older').hidden`, true)
	}
	wait(p, texts, all)
	wait(p, `document.getElementById('beginning').checkVisibility()`, true)
}

// Nothing moves a reader away from older messages.
func TestStickyBottom(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 60)
	p := join(t, startBrowser(t), url)
	wait(p, fromEnd, 0)
	post(t, url+"/update", "followed")
	wait(p, texts+`.at(-1)`, "followed")
	wait(p, fromEnd, 0)
	wait(p, pill, "")

	scroll(p, `scroller.scrollTop - 300`)
	wait(p, pill, "To the newest message")
	for i, want := range []string{"1 new message", "2 new messages"} {
		post(t, url+"/update", fmt.Sprint("not followed ", i))
		wait(p, pill, want)
		wait(p, `document.title`, fmt.Sprintf("(%d) Lobby", i+1))
	}
	if got := eval[int](p, fromEnd); got < 300 {
		t.Errorf("the reader was pulled down to %d pixels from the end", got)
	}
	wait(p, `document.querySelector('#messages .fresh').closest('li').querySelector('.text').textContent`, "not followed 0")
	p.screenshot("pill")
	p.click("#pill")
	wait(p, fromEnd, 0)
	wait(p, pill, "")
	wait(p, `document.title`, "Lobby")

	// one's own message jumps to the end; a smaller window stays there
	scroll(p, `scroller.scrollTop - 300`)
	wait(p, pill, "To the newest message")
	p.say("mine")
	wait(p, fromEnd, 0)
	wait(p, `document.querySelectorAll('#messages .fresh').length`, 0)
	p.resize(700, 400)
	wait(p, fromEnd, 0)
	p.resize(400, 700)
	wait(p, fromEnd, 0)
}

func TestTheUnreadLine(t *testing.T) {
	url := site(t)
	chromium := startBrowser(t)
	post(t, url+"/update", "read")
	p := join(t, chromium, url)
	wait(p, texts, []string{"read"})
	p.visit("about:blank")

	fresh := `document.querySelector('#messages .fresh')?.closest('li').querySelector('.text').textContent ?? ''`
	postMany(t, url+"/update", 30)
	p.visit(inEnglish(url))
	wait(p, fresh, "message 1")
	wait(p, fromEnd, 0)
	p.click("#to-fresh")
	wait(p, `(r => r.top > 0 && r.bottom < innerHeight)(document.querySelector('#messages .fresh').getBoundingClientRect())`, true)
	wait(p, `document.getElementById('to-fresh').hidden`, true)
	p.screenshot("unread-line")

	// everything is read; messages in view need no line
	p.click("#pill")
	wait(p, fromEnd, 0)
	p.visit(inEnglish(url))
	wait(p, texts+`.length`, 31)
	wait(p, state, "live")
	post(t, url+"/update", "seen at once")
	wait(p, texts+`.at(-1)`, "seen at once")
	if got := eval[string](p, fresh); got != "" {
		t.Errorf("the unread line stands above %q, which was read", got)
	}

	// even if the line is far above the rows in the page
	p.visit("about:blank")
	all := postMany(t, url+"/update", 500)
	p.visit(inEnglish(url))
	wait(p, texts+`.at(-1)`, "message 500")
	wait(p, `document.getElementById('to-fresh').hidden`, false)
	p.click("#to-fresh")
	wait(p, fresh, "message 1")
	wait(p, `(r => r.top > 0 && r.bottom < innerHeight)(document.querySelector('#messages .fresh').getBoundingClientRect())`, true)
	wait(p, pill, "To the newest message")
	p.click("#pill")
	wait(p, texts+`.at(-1)`, all[499])
	wait(p, fromEnd, 0)
}

const rowOf = `(at, name, before) => { const row = new Row({ id: String(+at), text: 'x', name, timestamp: +at }); row.dress(before); return row }`

// Messages in quick succession share one header, and each day has a line.
func TestGroupsAndDays(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	got := eval[[]string](p, `import('./rows.js').then(({ Row }) => {
		const make = `+rowOf+`;
		const day = new Date(); day.setHours(12, 0, 0, 0);
		const at = (days, minutes) => new Date(+day + days * 864e5 + minutes * 6e4);
		const old = make(new Date(2020, 4, 17), 'kim');
		const yesterday = make(at(-1, 0), 'kim', old);
		const today = make(at(0, 0), 'kim', yesterday);
		const soon = make(at(0, 4), 'kim', today);
		const late = make(at(0, 10), 'kim', soon);
		const other = make(at(0, 11), 'lee', late);
		const nobody = make(at(0, 12), undefined, other);
		const nobodyElse = make(at(0, 12), undefined, nobody);
		return [old, yesterday, today, soon, late, other, nobody, nobodyElse].map(({ item }) => (item.querySelector('.day')?.textContent ?? '') + (item.classList.contains('follows') ? 'follows' : ''));
	})`)
	want := []string{"Sunday, May 17, 2020", "Yesterday", "Today", "follows", "", "", "", ""}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows are headed %q, want %q", got, want)
	}
}

// The day is the server's; at midnight today becomes yesterday.
func TestDaysWithAWrongClock(t *testing.T) {
	url := site(t)
	post(t, url+"/update", "now")
	p := join(t, startBrowser(t), url, `
		globalThis.ahead = 3 * 864e5;
		const now = Date.now;
		Date.now = () => now() + ahead;
	`)
	day := `document.querySelector('#messages .day')?.textContent`
	wait(p, day, "Today")
	p.say("mine")
	wait(p, `[...document.querySelectorAll('#messages .day')].length`, 1)
	// before the page comes back from what looks like sleep, and asks the server again
	if got := eval[string](p, `(() => { ahead += 864e5; dispatchEvent(new Event('focus')); return `+day+`; })()`); got != "Yesterday" {
		t.Errorf("the day is %q a day later", got)
	}
	times := eval[[]string](p, `[...document.querySelectorAll('#messages time')].map(t => [Math.abs(now() - new Date(t.dateTime)) < 6e5, /\d:\d\d/.test(t.textContent), t.title.includes(new Date(t.dateTime).getFullYear())].join())`)
	if fmt.Sprint(times) != "[true,true,true true,true,true]" {
		t.Errorf("the times are %v", times)
	}
}

// A room of any length is as fast as a short one.
func TestTenThousandMessages(t *testing.T) {
	const n = 10_000
	url := site(t, "retain 10000")
	all := postMany(t, url+"/update", n)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.at(-1)`, all[n-1])
	call(p, performance.Enable, performance.EnableParams{})
	p.js(`globalThis.seen = new Set(); globalThis.most = 0;
		globalThis.look = () => { const all = ` + texts + `; all.forEach(t => seen.add(t)); most = Math.max(most, all.length); return all };
		globalThis.frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
		globalThis.walk = async (to, last) => {
			const scroller = document.getElementById('scroller');
			for (const end = performance.now() + 90_000; performance.now() < end && look().at(to) !== last;) {
				scroller.scrollTop = to === 0 ? 0 : scroller.scrollHeight;
				await frame();
			}
			return look().at(to);
		}`)
	memory := func() float64 {
		call(p, heapprofiler.CollectGarbage, struct{}{})
		for _, m := range call(p, performance.GetMetrics, struct{}{}).Metrics {
			if m.Name == "Nodes" {
				return m.Value
			}
		}
		return 0
	}
	begin := memory()
	for _, walk := range []struct {
		to   int
		last string
	}{{0, all[0]}, {-1, all[n-1]}} {
		p.js(`seen.clear(); globalThis.walked = ''; walk(` + fmt.Sprint(walk.to) + `, "` + walk.last + `").then(last => { walked = last }); undefined`)
		waitFor(p, 5*patience, `walked`, walk.last)
		if got := eval[int](p, `seen.size`); got != n {
			t.Errorf("on the way to %q %d messages came by, want %d", walk.last, got, n)
		}
	}
	if most := eval[int](p, `most`); most > 400 {
		t.Errorf("up to %d rows were in the page", most)
	}
	end := memory()
	t.Logf("%v nodes in memory before, %v after", begin, end)
	if end > begin+15_000 { // all rows have 100,000
		t.Errorf("%v nodes are in memory, %v were before", end, begin)
	}
}

// Messages that arrive in bulk cost little and are not read out.
func TestAThousandReplayedMessages(t *testing.T) {
	url := site(t)
	network := newProxy(t, url[len("http://localhost:"):])
	p := join(t, startBrowser(t), network.url())
	post(t, url+"/update", "before")
	wait(p, texts, []string{"before"})
	call(p, performance.Enable, performance.EnableParams{})
	scripts := func() (seconds float64) {
		for _, m := range call(p, performance.GetMetrics, struct{}{}).Metrics {
			if m.Name == "ScriptDuration" {
				seconds = m.Value
			}
		}
		return seconds
	}
	p.js(`globalThis.loud = 0; new MutationObserver(list => { if (document.getElementById('scroller').ariaBusy !== 'true') loud += list.length })
		.observe(document.getElementById('messages'), { childList: true })`)
	network.Disconnect()
	network.Cut(true)
	wait(p, `(`+state+`) !== 'live'`, true)
	all := postMany(t, url+"/update", 1000)
	begin := scripts()
	network.Connect()
	wait(p, texts+`.at(-1)`, all[999])
	wait(p, fromEnd, 0)
	t.Logf("1,000 replayed messages took %.0f ms of script time", 1000*(scripts()-begin))
	if got := eval[[]string](p, texts); fmt.Sprint(got) != fmt.Sprint(all[len(all)-len(got):]) || len(got) < 50 {
		t.Errorf("the last messages are %q", got)
	}
	wait(p, `document.getElementById('scroller').ariaBusy`, "false")
}

func TestTextsAndNames(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	for _, m := range []message{
		{Text: "<img src=x onerror=alert(1)> &amp; <b>", Name: "<i>kim</i>"},
		{Text: "보세요 https://caddyserver.com/docs에서, (https://en.wikipedia.org/wiki/Tea_(meal))! javascript:alert(1) xhttps://no.example http://[bad"},
		{Text: "👍🏽 👨‍👩‍👧 🇰🇷", Name: "lee"},
		{Text: "12", Name: "אבג"},
		{Text: "שלום \u202ecba"},
		{Text: "line\nbreak  and   spaces"},
	} {
		postAll(t, url+"/update", m)
	}
	wait(p, texts+`.length`, 6)
	for expression, want := range map[string]any{
		`document.querySelectorAll('#messages img, #messages b, #messages i').length`: 0.0,
		texts + `[0]`: "<img src=x onerror=alert(1)> &amp; <b>",
		`[...document.querySelectorAll('#messages a')].map(a => a.href + ' ' + a.rel + ' ' + a.target).join()`: "https://caddyserver.com/docs noopener noreferrer nofollow ugc _blank,https://en.wikipedia.org/wiki/Tea_(meal) noopener noreferrer nofollow ugc _blank",
		`[...document.querySelectorAll('#messages .text')].map(t => t.classList.contains('emoji')).join()`:     "false,false,true,false,false,false",
		`[...document.querySelectorAll('#messages .text')].every(t => t.dir === 'auto')`:                       true,
		`[...document.querySelectorAll('#messages .name')].every(n => n.localName === 'bdi')`:                  true,
		texts + `[4]`: "שלום cba",
		`getComputedStyle(document.querySelectorAll('#messages .text')[4]).direction`:                                                                                   "rtl",
		`document.querySelectorAll('#messages .text')[5].getClientRects()[0].height > 1.5 * document.querySelectorAll('#messages .text')[3].getClientRects()[0].height`: true,
		`parseFloat(getComputedStyle(document.querySelectorAll('#messages .text')[2]).fontSize) > 30`:                                                                   true,
	} {
		if got := eval[any](p, expression); got != want {
			t.Errorf("%s is %v, want %v", expression, got, want)
		}
	}
	p.screenshot("texts")
	call(p, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Seoul"})
}

// A room that was seen empty begins here; elsewhere, messages may have been dropped.
func TestTheBeginning(t *testing.T) {
	t.Parallel()
	site := site(t)
	beginning := `(e => e.checkVisibility() ? e.textContent : '')(document.getElementById('beginning'))`
	p := join(t, startBrowser(t), site)
	wait(p, `document.getElementById('empty').checkVisibility()`, true)
	p.say("hello")
	wait(p, texts, []string{"hello"})
	wait(p, beginning, "This is the beginning of the room.")
	post(t, site+"/update?room=tea", "kept")
	p.enterRoom("tea")
	wait(p, texts, []string{"kept"})
	wait(p, beginning, "This is as far back as it goes.")
}
