package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/network"
)

const (
	marks   = `[...document.querySelectorAll('#messages mark')].map(m => m.textContent)`
	icon    = `document.getElementById('icon').href.split('/').at(-1)`
	offered = `[...document.querySelectorAll('[role=option]')].map(o => o.textContent + (o.ariaSelected === 'true' ? '*' : ''))`
)

// The reader's whole name after an @ is marked, also before Korean particles, but not in
// links, code, or a longer name.
func TestMentionsAreMarked(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.name("kim")
	all := func(texts ...string) (list []message) {
		for _, text := range texts {
			list = append(list, message{Text: text, Name: "Kim Lee"})
		}
		return list
	}
	yes := all("hi @kim!", "@KIM", "(@kim)", "@kim's turn", "@kim은", "@kim님에게만 말해요", "안녕@kim", "@kim.")
	no := all("kim", "@kimberly", "@kim_2", "@kim민", "mail a@kim", "@kim.lee", "@kim-lee", "@kim@site.example", "https://x.example/@kim", "@ kim", "@Kim Lee")
	postAll(t, url+"/update", append(yes, no...)...)
	wait(p, marks, []string{"@kim", "@KIM", "@kim", "@kim", "@kim", "@kim", "@kim", "@kim"})
	wait(p, `[...document.querySelectorAll('#messages b')].map(b => b.textContent)`, []string{"@Kim Lee"})
	wait(p, texts+`.slice(0, 8)`, func() (texts []string) {
		for _, m := range yes {
			texts = append(texts, m.Text)
		}
		return texts
	}())
	p.js(`globalThis.test = async (nodes) => {
		const body = document.createElement('p');
		for (const [tag, text] of nodes) body.appendChild(document.createElement(tag)).append(text);
		(await import('./page.js')).special.mark(body);
		return body.querySelectorAll('mark').length;
	}`)
	wait(p, `test([['code', '@kim'], ['pre', '@kim'], ['a', '@kim'], ['em', '@kim']])`, 1)
	p.screenshot("mentions")

	// another name
	p.js(`document.getElementById('name').focus(); document.getElementById('name').select()`)
	p.do(write("김철수"), press(enter))
	wait(p, marks, []string{})
	postAll(t, url+"/update", all("@김철수님께서", "@김철수야", "@김철수민", "@김철", "@김철수와@kim")...)
	wait(p, marks, []string{"@김철수", "@김철수", "@김철수"})
}

// Unread mentions are counted apart, here and elsewhere, at once or after a while away.
func TestMentionsCountApart(t *testing.T) {
	url := site(t)
	chromium := startBrowser(t)
	p := join(t, chromium, url)
	p.name("kim")
	p.enterRoom("tea")
	p.say("for @kim by himself")
	wait(p, pendings+`.length`, 0)
	p.enterRoom("lobby")
	p.hide()
	post(t, url+"/update", "one")
	wait(p, `document.title + icon.href.split('/').at(-1)`, "(1) Lobbyicon-unread.svg")
	post(t, url+"/update", "two @kim")
	wait(p, `document.title + icon.href.split('/').at(-1)`, "(@1 · 2) Lobbyicon-mention.svg")
	post(t, url+"/update?room=tea", "@kim, @kim")
	post(t, url+"/update?room=tea", "@kimberly")
	wait(p, `document.title`, "(@2 · 4) Lobby")
	wait(p, roomList, []string{"Lobby", "tea @1 · 2"})
	p.show()
	wait(p, `document.title`, "(@1 · 2) Lobby")
	p.screenshot("mention-elsewhere")
	p.visit("about:blank")
	post(t, url+"/update?room=tea", "and again @kim")
	p.visit(inEnglish(url))
	wait(p, roomList, []string{"Lobby", "tea @2 · 3"})
	wait(p, `document.title + icon.href.split('/').at(-1)`, "(@2 · 3) Lobbyicon-mention.svg")
	p.enterRoom("tea")
	wait(p, `document.title + icon.href.split('/').at(-1)`, "teaicon.svg")
	wait(p, roomList, []string{"tea", "Lobby"})
}

// A name from the server is known later than the messages.
func TestMentionsOfANameFromTheServer(t *testing.T) {
	url := site(t, "name {http.request.header.X-User}")
	p := join(t, startBrowser(t), url)
	p.say("here")
	wait(p, pendings+`.length`, 0)
	p.enterRoom("tea")
	wait(p, state, "live")
	post(t, url+"/update", "for @kim")
	post(t, url+"/update?room=tea", "also for @kim")
	wait(p, roomList, []string{"tea", "Lobby 1"})
	call(p, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-User": "kim"}})
	p.reload()
	wait(p, roomList, []string{"tea", "Lobby @1 · 1"})
	wait(p, `document.title`, "(@1 · 1) tea")
	wait(p, marks, []string{"@kim"})
}

// An @ offers who is here and who has written.
func TestNamesAreCompleted(t *testing.T) {
	url := site(t)
	p, lee := join(t, startBrowser(t), url), join(t, startBrowser(t), url)
	p.name("kim")
	lee.name("Kim Lee")
	postAll(t, url+"/update", message{Text: "hello", Name: "김철수"}, message{Text: "hello", Name: "zoë"}, message{Text: "hello", Name: "kimberly"})
	wait(p, here, "2 here; Kim Lee; kim (you)")
	wait(p, texts+`.length`, 3)
	p.js(`document.getElementById('text').focus()`)
	p.do(write("mail@"))
	p.do(write(" hi @"))
	wait(p, offered, []string{"@Kim Lee*", "@김철수", "@zoë", "@kimberly"})
	wait(p, `document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).textContent`, "@Kim Lee")
	p.axe("names")
	p.screenshot("names")
	p.do(write("KI"))
	wait(p, offered, []string{"@Kim Lee*", "@kimberly"})
	p.do(press(arrowDown), press(arrowDown), press(arrowUp))
	wait(p, offered, []string{"@Kim Lee", "@kimberly*"})
	p.do(press(escape))
	wait(p, offered, []string{})
	p.do(write("m "))
	wait(p, offered, []string{"@Kim Lee*"})
	p.do(press(enter))
	wait(p, field, "mail@ hi @Kim Lee ")
	wait(p, offered, []string{})
	// while a syllable is composed, its keys are the input method's
	p.do(write("@"), compose("기"))
	wait(p, offered, []string{"@김철수*"})
	p.do(compose("김"), press(during(enter)))
	wait(p, field, "mail@ hi @Kim Lee @김")
	wait(p, offered, []string{"@김철수*"})
	p.do(write("김"), press(tabKey))
	wait(p, field, "mail@ hi @Kim Lee @김철수 ")
	wait(p, `document.activeElement.id`, "text")
	p.do(write("@zoe"))
	wait(p, offered, []string{"@zoë*"})
	p.click("[role=option]")
	wait(p, field, "mail@ hi @Kim Lee @김철수 @zoë ")
	p.do(write("@nobody"))
	wait(p, offered, []string{})
	p.do(press(enter))
	wait(p, texts+`.at(-1)`, "mail@ hi @Kim Lee @김철수 @zoë @nobody")

	// in an edited text, too
	p.act("mail@ hi @Kim Lee @김철수 @zoë @nobody", "Edit")
	p.do(write(" @kimb"))
	wait(p, offered, []string{"@kimberly*"})
	p.screenshot("names-edit")
	p.do(press(enter))
	wait(p, `document.activeElement.value.endsWith('@kimberly ')`, true)
	p.do(press(enter))
	wait(p, texts+`.at(-1)`, "mail@ hi @Kim Lee @김철수 @zoë @nobody @kimberly")

	for _, look := range looks {
		p.media("prefers-color-scheme", look.scheme)
		p.resize(look.width, 640)
		p.js(`document.getElementById('text').focus()`)
		p.do(write(" @"))
		wait(p, offered+`.length`, 4)
		p.fits("names")
		p.screenshot(fmt.Sprintf("look-names-%s-%d", look.scheme, look.width))
	}
}

func TestNamesAreCompletedInFirefox(t *testing.T) {
	url := site(t)
	postAll(t, url+"/update", message{Text: "hello", Name: "kim"})
	inFirefox(t, url, "mentions", "well", nil)
}

// Each room tells of all messages, of mentions, or of nothing.
func TestWhatARoomTells(t *testing.T) {
	url := site(t)
	p := newTab(t, startBrowser(t))
	quietly(t, p, url)
	wait(p, `document.querySelector('#menu select') !== null`, true)
	p.name("kim")
	p.enterRoom("tea")
	choose := func(wanted string) {
		p.js(`(s => { s.value = '` + wanted + `'; s.dispatchEvent(new Event('change', { bubbles: true })) })(document.querySelector('#menu select'))`)
	}
	wait(p, `(s => s.value + s.labels[0].textContent.slice(0, 3))(document.querySelector('#menu select'))`, "alltea")
	p.screenshot("notices")
	choose("nothing")
	p.enterRoom("lobby")
	choose("mentions")
	p.reload()
	wait(p, `document.querySelector('#menu select')?.value ?? ''`, "mentions")
	p.enterRoom("tea")
	wait(p, `document.querySelector('#menu select').value`, "nothing")
	p.hide()
	post(t, url+"/update", "for nobody")
	post(t, url+"/update?room=tea", "@kim, for nothing")
	post(t, url+"/update", "for @kimberly")
	post(t, url+"/update", "for @kim")
	wait(p, `told.join()`, "beep,someone · Lobby: for @kim")
}
