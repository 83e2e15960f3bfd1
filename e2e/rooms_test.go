package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
)

const (
	roomList = `[...document.querySelectorAll('#rooms a')].map(a => a.innerText.trim().replace(/\s+/g, ' '))`
	// who is here, in the panel of the room
	here = `(document.getElementById('about').matches(':popover-open') || document.getElementById('about').showPopover(),
		[document.getElementById('count').textContent.split(' · ')[0], ...[...document.querySelectorAll('#about li')].map(li => li.textContent)].join('; '))`
)

const titles = `[document.title, document.getElementById('room').textContent].join()`

func TestRooms(t *testing.T) {
	site := site(t)
	p := join(t, startBrowser(t), site)
	wait(p, roomList, []string{"Lobby"})
	p.enterRoom("한글방")
	wait(p, `document.title + ' ' + document.getElementById('room').textContent`, "한글방 한글방")
	wait(p, `new URLSearchParams(location.search).get('room')`, "한글방")
	wait(p, roomList, []string{"한글방", "Lobby"})
	p.say("여기는 한글방")
	wait(p, texts, []string{"여기는 한글방"})
	wait(p, pendings+`.length`, 0)

	// back, forward, and a shared link
	p.back()
	wait(p, `document.title`, "Lobby")
	wait(p, texts, []string{})
	p.forward()
	wait(p, texts, []string{"여기는 한글방"})
	wait(p, roomList, []string{"한글방", "Lobby"})
	p.visit(site + "/?lang=en&room=" + url.QueryEscape("cafe\u0301")) // not in NFC
	wait(p, `document.title`, "caf\u00e9")
	wait(p, roomList, []string{"caf\u00e9", "한글방", "Lobby"})
	wait(p, state, "live")

	// unread messages in the others
	post(t, site+"/update", "one")
	post(t, site+"/update", "two")
	wait(p, roomList, []string{"caf\u00e9", "Lobby 2", "한글방"})
	wait(p, `document.title`, "(2) caf\u00e9")
	p.screenshot("rooms")
	p.click(`#rooms li:nth-child(2) a`)
	wait(p, texts, []string{"one", "two"})
	wait(p, `document.title`, "Lobby")
	wait(p, roomList, []string{"caf\u00e9", "Lobby", "한글방"}) // none moves under the pointer
	p.click("#text")
	wait(p, roomList, []string{"Lobby", "caf\u00e9", "한글방"})
	// including messages sent while the page was closed
	p.visit("about:blank")
	post(t, site+"/update?room="+url.QueryEscape("한글방"), "three")
	p.visit(inEnglish(site))
	wait(p, roomList, []string{"Lobby", "한글방 1", "caf\u00e9"})
	p.click(`#rooms li:last-child .leave`)
	wait(p, roomList, []string{"Lobby", "한글방 1"})

	// invalid room names
	p.enterRoom("?!")
	wait(p, `document.getElementById('go-to').validationMessage`, "“?!” cannot name a room: only letters, digits, _ - and . are allowed, 64 at most.")
	p.visit(site + "/?lang=en&room=a%20b")
	wait(p, `document.getElementById('bad-room-text').innerText`, "“a b” cannot name a room: only letters, digits, _ - and . are allowed, 64 at most.")
	wait(p, `document.getElementById('chat').checkVisibility()`, false)
	wait(p, `document.querySelector('#bad-room a').textContent`, "Go to a-b")
	p.visit(site + "/?lang=en&room=%20")
	wait(p, `document.querySelector('#bad-room a').textContent`, "Go to Lobby")
	p.click("#bad-room a")
	wait(p, `document.title`, "(1) Lobby")
}

// Of many rooms none is dropped without a word, and all controls stay in view.
func TestManyRooms(t *testing.T) {
	t.Parallel()
	site := site(t)
	p := open(t, startBrowser(t), site+"/?lang=en", `
		localStorage.getItem('sse-chat / rooms') ?? localStorage.setItem('sse-chat / rooms', JSON.stringify(Array.from({ length: 99 }, (_, i) => ['room-' + i, '1'])))`)
	wait(p, state, "live")
	wait(p, roomList+`.length`, 100)
	wait(p, roomList+`.slice(0, 3)`, []string{"Lobby", "room-98", "room-97"})
	told := `document.querySelector('.told')?.textContent ?? ''`
	wait(p, told, "")
	out := `[...document.querySelectorAll('#go-to, #name, #notify, #sound')].filter(e => { const r = e.getBoundingClientRect(); return document.elementFromPoint(r.left + 5, r.top + 5) !== e }).map(e => e.id)`
	p.resize(1280, 640)
	wait(p, out, []string{})
	// the unread ones move up, but not under the pointer
	post(t, site+"/update?room=room-7", "here")
	wait(p, roomList+`.slice(0, 3)`, []string{"Lobby", "room-7 1", "room-98"})
	p.js(`document.getElementById('rooms').scrollTop = 1000`)
	p.js(`document.querySelector('#rooms li:nth-child(30)').id = 'thirty'`)
	p.click(`#thirty a`)
	wait(p, titles, "(1) room-71,room-71")
	post(t, site+"/update?room=room-5", "there")
	wait(p, roomList+`.includes('room-5 1')`, true)
	wait(p, roomList+`[29]`, "room-71")
	p.click("#text")
	wait(p, roomList+`.slice(0, 5)`, []string{"room-71", "room-7 1", "room-5 1", "Lobby", "room-98"})
	wait(p, `document.getElementById('rooms').scrollTop`, 0)
	p.screenshot("rooms-many")

	p.enterRoom("one-more")
	wait(p, told, "“room-0” was removed from the list, which holds 100 rooms.")
	wait(p, roomList+`.length`, 100)
	wait(p, state, "live")
	p.screenshot("rooms-left-out")
	p.axe("one room too many")
	p.enterRoom("room-71")
	wait(p, told, "")
	p.resize(320, 568)
	p.click("#open-menu")
	wait(p, out, []string{})
	wait(p, `document.getElementById('rooms').clientHeight > 100`, true)
	p.screenshot("menu-many-320")
}

// A name that is no room's leads to the room that was probably meant.
func TestRoomsNearAName(t *testing.T) {
	t.Parallel()
	site := site(t)
	p := join(t, startBrowser(t), site)
	p.enterRoom("우리 가족")
	wait(p, titles, "우리-가족,우리-가족")
	wait(p, `document.getElementById('go-to').value`, "")
	p.visit(site + "/?lang=ko&room=" + "%EC%9A%B0%EB%A6%AC%20%20%EC%B9%9C%EA%B5%AC")
	wait(p, `document.getElementById('good-room').textContent`, "우리-친구(으)로 가기")
	p.click("#good-room")
	wait(p, titles, "우리-친구,우리-친구")
	for typed, want := range map[string]string{
		"#general": "general", "tea & coffee": "tea-coffee", "a/b": "a-b", " - a - b - ": "a-b", "ki\u200bm": "kim", "e\u200b\u0301": "é",
		"🎉 party!": "party", "🎉": "", "  ": "", "\u3164": "", "a\tb\nc": "a-b-c", "a--b c": "a-b-c", "C++": "C", "カフェ　東京": "カフェ-東京",
		strings.Repeat("가 ", 80): strings.TrimSuffix(strings.Repeat("가-", 32), "-"), strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		got := eval[string](p, fmt.Sprintf(`import('./panels.js').then(({ fittingRoom }) => fittingRoom(%q))`, typed))
		if got != want {
			t.Errorf("%q leads to %q, want %q", typed, got, want)
		}
		if err := wire.CheckRoom(got); err != nil && got != "" {
			t.Errorf("%q leads to %q: %v", typed, got, err)
		}
	}
}

// Other tabs immediately know what was read and visited in one.
func TestRoomsOfAllTabs(t *testing.T) {
	site := site(t)
	chromium := startBrowser(t)
	p, q := join(t, chromium, site), join(t, chromium, site)
	p.enterRoom("tea")
	wait(q, roomList, []string{"Lobby", "tea"}) // where q is, first
	post(t, site+"/update?room=tea", "read by p")
	wait(p, texts, []string{"read by p"})
	wait(q, roomList, []string{"Lobby", "tea"})
	p.hide()
	post(t, site+"/update?room=tea", "read by nobody")
	wait(q, roomList, []string{"Lobby", "tea 1"})
	wait(p, `document.title`, "(1) tea")
	p.show()
	wait(q, roomList, []string{"Lobby", "tea"})
	wait(p, `document.title`, "tea")
}

func TestPeople(t *testing.T) {
	t.Parallel()
	site := site(t)
	kim, lee := join(t, startBrowser(t), site), join(t, startBrowser(t), site)
	wait(kim, here, "2 here; 2 without a name")
	// asked once, in passing
	kim.js(`document.getElementById('ask-name').focus()`)
	kim.do(write("  김\u202e철수\u0007 "), press(enter))
	wait(kim, `document.getElementById('ask').hidden`, true)
	wait(lee, here, "2 here; 김철수; 1 without a name")
	wait(kim, here, "2 here; 김철수 (you); 1 without a name")
	wait(kim, `document.activeElement.id`, "text")
	kim.say("안녕")
	wait(lee, `document.querySelector('#messages .name').textContent`, "김철수")
	lee.click("#ask-not")
	wait(lee, `document.getElementById('ask').hidden`, true)

	// the same colour for everyone
	for _, p := range []*tab{kim, lee} {
		wait(p, here+`.split('; ')[1].slice(0, 3)`, "김철수")
	}
	colour := `getComputedStyle(document.querySelector('#about .name')).color`
	if a, b := eval[string](kim, colour), eval[string](lee, colour); a != b || a != eval[string](kim, `getComputedStyle(document.getElementById('name')).color`) {
		t.Errorf("the name has the colours %s and %s", a, b)
	}

	if ink := eval[string](kim, `getComputedStyle(document.body).color`); ink == eval[string](kim, colour) {
		t.Error("the name has the colour of all text")
	}

	// it is kept and can be changed; a long one is cut
	kim.reload()
	wait(kim, `document.getElementById('name')?.value ?? ''`, "김철수")
	wait(kim, `document.getElementById('ask').hidden`, true)
	kim.js(`document.getElementById('name').focus(); document.getElementById('name').select()`)
	kim.do(write("한한한한한한한한한한한한한한한한한한한한한한한한한"), press(enter))
	wait(kim, `document.getElementById('name').value.length`, 21)
	wait(lee, here, "2 here; 한한한한한한한한한한한한한한한한한한한한한; 1 without a name")
	lee.reload()
	wait(lee, `document.getElementById('ask')?.hidden ?? false`, true)
}

// The server may set the names.
func TestNamesOfTheServer(t *testing.T) {
	p := join(t, startBrowser(t), site(t, "name kim"))
	p.say("hello")
	wait(p, `document.querySelector('#messages .name')?.textContent ?? ''`, "kim")
	wait(p, `document.getElementById('name').value + document.getElementById('name').readOnly`, "kimtrue")
}

const record = `
	globalThis.told = [];
	globalThis.notifications = [];
	navigator.setAppBadge = async (n) => { told.badge = n };
	globalThis.Notification = class { static permission = 'default';
		static async requestPermission() { return this.permission = 'granted' }
		constructor(title, { body }) { notifications.push(this); told.push(title + ': ' + body) }
		close() {} };
	const start = OscillatorNode.prototype.start;
	OscillatorNode.prototype.start = function (...args) { told.push('beep'); start.apply(this, args) };
	sessionStorage.getItem('told') && (Notification.permission = 'granted');
`

// Notifications are opt-in, and only one tab shows them.
func TestNotices(t *testing.T) {
	t.Parallel()
	site := site(t)
	chromium := startBrowser(t)
	p, q := newTab(t, chromium), newTab(t, chromium)
	for _, tab := range []*tab{p, q} {
		tab.before(record)
		tab.visit(inEnglish(site))
		wait(tab, state, "live")
		tab.hide()
	}
	post(t, site+"/update", "unasked")
	wait(p, `document.title`, "(1) Lobby")
	wait(p, `told.badge`, 1)
	wait(p, `document.getElementById('icon').href.endsWith('/icon-unread.svg')`, true)
	p.do(chromedp.Click(chromedp.CSS("#notify")), chromedp.Click(chromedp.CSS("#sound")))
	wait(p, `told.join()`, "beep") // to try it
	q.js(`Notification.permission = 'granted'; dispatchEvent(new StorageEvent('storage', { key: 'sse-chat / notify' }))`)
	wait(q, `document.getElementById('notify').checked && document.getElementById('sound').checked`, true)
	p.js(`told.length = 0`)
	postAll(t, site+"/update", message{Text: "asked", Name: "kim"})
	both := func(p, q *tab) []string {
		return append(eval[[]string](p, `told.slice(0)`), eval[[]string](q, `told.slice(0)`)...)
	}
	wait(p, `document.title`, "(2) Lobby")
	chattest.Within(t, patience, "both have told of it", func() bool { return len(both(p, q)) >= 2 })
	postAll(t, site+"/update", message{Text: "more", Name: "kim"})
	chattest.Within(t, patience, "both have told of both messages, with one sound", func() bool { return len(both(p, q)) >= 3 })
	if got := both(p, q); len(got) != 3 {
		t.Errorf("two messages were told by %q", got)
	}
	// the page is visible
	p.show()
	wait(p, `document.title`, "Lobby")
	post(t, site+"/update", "seen")
	wait(q, texts+`.at(-1)`, "seen")
	p.hide()
	p.js(`told.length = 0`)
	q.js(`told.length = 0`)
	postAll(t, site+"/update", message{Text: "last", Name: "kim"})
	chattest.Within(t, patience, "one has told of it", func() bool { return len(both(p, q)) >= 1 })
	for _, told := range both(p, q) {
		if told != "beep" && told != "kim · Lobby: last" {
			t.Errorf("%q was told", told)
		}
	}
}

// comeIn reads along until the end of the test.
func comeIn(t *testing.T, site, query string) {
	t.Helper()
	response, err := http.Get(site + "/subscribe" + query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
}

// unfoldPeople opens the panel of the room and shows all names there.
func (p *tab) unfoldPeople() {
	p.t.Helper()
	wait(p, here+`.length > 50`, true)
	p.click("#about ul + button")
}

// quietly joins with notifications and sound enabled, and hides the tab.
func quietly(t *testing.T, p *tab, url string) {
	t.Helper()
	p.before(strings.Replace(record, "static permission = 'default'", "static permission = 'granted'", 1))
	p.before(`for (const key of ['notify', 'sound']) localStorage.setItem('sse-chat / ' + key, 'true')`)
	p.visit(inEnglish(url))
	wait(p, state, "live")
}

// Many messages at once make one sound, whichever tab tells of them.
func TestOneSoundForMany(t *testing.T) {
	url := site(t)
	chromium := startBrowser(t)
	p, q := newTab(t, chromium), newTab(t, chromium)
	for _, tab := range []*tab{p, q} {
		quietly(t, tab, url)
		tab.hide()
	}
	postMany(t, url+"/update", 40)
	told := func(what string) (count int) {
		for _, tab := range []*tab{p, q} {
			count += eval[int](tab, `told.filter(what => what.startsWith('`+what+`')).length`)
		}
		return count
	}
	chattest.Within(t, patience, "all are told", func() bool { return told("bot") == 40 })
	if got := told("beep"); got != 1 {
		t.Errorf("40 messages made %d sounds", got)
	}
}

// A click on a notification leads to the room and the message.
func TestAClickOnANotification(t *testing.T) {
	url := site(t)
	p := newTab(t, startBrowser(t))
	p.before(`globalThis.focus = () => told.push('focus')`)
	quietly(t, p, url)
	p.enterRoom("tea")
	wait(p, state, "live")
	p.enterRoom("lobby")
	p.hide()
	post(t, url+"/update?room=tea", "look")
	wait(p, `told.at(-1)`, "someone · tea: look")
	postMany(t, url+"/update?room=tea", 120)
	wait(p, `document.querySelector("#rooms .badge:not([hidden])")?.textContent ?? ''`, "99+")
	p.js(`notifications[0].onclick()`)
	wait(p, `document.title.replace(/.* /, '') + new URLSearchParams(location.search).get('room')`, "teatea")
	wait(p, `document.querySelector('#messages .marked .text')?.textContent ?? ''`, "look")
	wait(p, `told.includes('focus')`, true)
	p.do(chromedp.Click(chromedp.CSS("#rooms li:last-child a")))
	wait(p, `document.getElementById('room').textContent`, "Lobby")
	post(t, url+"/update", "here")
	wait(p, `told.at(-1)`, "someone · Lobby: here")
	p.js(`notifications.at(-1).onclick()`)
	wait(p, `document.querySelector('#messages .marked .text')?.textContent ?? ''`, "here")
}

// With many names, not every event has them, and the last ones stay.
func TestManyPeople(t *testing.T) {
	t.Parallel()
	site := site(t)
	read := func(query string) { comeIn(t, site, query) }
	list := ""
	for i := range 25 {
		name := fmt.Sprintf("n%02d", i)
		list += "; " + name
		read("?name=" + name)
	}
	chromium := startBrowser(t)
	p := join(t, chromium, site)
	p.unfoldPeople()
	wait(p, here, "26 here"+list+"; 1 without a name")
	read("")
	wait(p, here, "27 here"+list+"; 2 without a name")
	// even in a later tab without its own stream
	q := join(t, chromium, site)
	q.unfoldPeople()
	wait(q, here, "27 here"+list+"; 2 without a name")
	read("?name=zoe")
	wait(q, here, "28 here"+list+"; zoe; 2 without a name")
	wait(p, here, "28 here"+list+"; zoe; 2 without a name")
}
