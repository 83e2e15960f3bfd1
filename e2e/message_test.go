package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// openMenu opens the menu of the message with a text, with the pointer.
func (p *tab) openMenu(text string) {
	p.t.Helper()
	row := `[...document.querySelectorAll('#messages li')].find(li => li.querySelector('.text').textContent === ` + strconv.Quote(text) + `)`
	wait(p, row+` !== undefined`, true)
	// the button comes with the script
	wait(p, `(`+row+`.dispatchEvent(new PointerEvent('pointerover', {bubbles: true})), `+row+`.querySelector('.more') !== null)`, true)
	p.js(row + `.querySelector('.more').click()`)
	wait(p, `document.querySelector('#actions').matches(':popover-open')`, true)
}

// act chooses from the menu of the message with a text.
func (p *tab) act(text, choice string) {
	p.t.Helper()
	p.openMenu(text)
	item := `[...document.querySelectorAll('#actions button')].find(b => b.textContent === ` + strconv.Quote(choice) + `)`
	if !eval[bool](p, item+` !== undefined`) {
		p.t.Fatalf("the menu of %q has no %q: %q", text, choice, p.choices())
	}
	p.js(item + `.click()`)
	switch choice {
	case "Reply":
		wait(p, `document.getElementById('replying')?.checkVisibility() ?? false`, true)
	case "Edit":
		wait(p, `document.activeElement.matches('.edit textarea')`, true)
	}
}

// name gives the reader a name.
func (p *tab) name(name string) {
	p.t.Helper()
	p.js(`document.getElementById('ask-name').focus()`)
	p.do(write(name), press(enter))
	wait(p, `document.getElementById('name').value`, name)
}

// choices returns what the open menu offers.
func (p *tab) choices() []string {
	p.t.Helper()
	return eval[[]string](p, `[...document.querySelectorAll('#actions button')].map(b => b.textContent)`)
}

const (
	chips  = `[...document.querySelectorAll('#messages .reaction')].map(b => b.textContent + (b.ariaPressed === 'true' ? '*' : ''))`
	edited = `[...document.querySelectorAll('#messages .edited')].length`
	quotes = `[...document.querySelectorAll('#messages .quote')].map(b => b.textContent)`
	fates  = `[...document.querySelectorAll('#messages .fate')].map(p => p.firstChild.textContent)`
)

// Two people change, take back, answer and react to what they wrote, and see it of each other.
func TestTheMenuOfAMessage(t *testing.T) {
	url := site(t)
	kim, lee := join(t, startBrowser(t), url), join(t, startBrowser(t), url)
	kim.name("kim")
	lee.name("lee")
	kim.say("tea at five?")
	wait(lee, texts, []string{"tea at five?"})

	lee.act("tea at five?", "👍")
	wait(lee, chips, []string{"👍 1*"})
	wait(kim, chips, []string{"👍 1"})
	kim.js(`document.querySelector('.reaction').click()`)
	wait(lee, chips, []string{"👍 2*"})
	wait(lee, `document.querySelector('.reaction').title`, "👍 2: you, kim")
	lee.js(`document.querySelector('.reaction').click()`)
	wait(kim, chips, []string{"👍 1*"})

	lee.act("tea at five?", "Reply")
	lee.say("yes")
	wait(kim, quotes, []string{"kim tea at five?"})
	wait(lee, quotes, []string{"kim tea at five?"})
	wait(lee, `document.getElementById('replying').checkVisibility()`, false)
	for _, request := range kim.requests {
		if strings.HasSuffix(request, "&limit=1") {
			t.Errorf("it asks for a message that is in the page: %s", request)
		}
	}

	kim.act("tea at five?", "Edit")
	kim.js(`document.activeElement.select()`)
	kim.do(write("tea at six?"), press(enter))
	wait(kim, texts, []string{"tea at six?", "yes"})
	wait(lee, texts, []string{"tea at six?", "yes"})
	wait(lee, edited, 1)
	wait(lee, quotes, []string{"kim tea at six?"})
	lee.screenshot("menu-reader")

	// the last own one by a key
	lee.js(`document.getElementById('text').focus()`)
	lee.do(press(arrowUp))
	wait(lee, `document.activeElement.matches('.edit textarea')`, true)
	wait(lee, `document.activeElement.value`, "yes")
	lee.do(write("!"), press(enter))
	wait(kim, texts, []string{"tea at six?", "yes!"})
	wait(lee, `document.activeElement.id`, "text")

	// nobody else may
	kim.js(`document.querySelectorAll('#messages li')[1].dispatchEvent(new PointerEvent('pointerover', {bubbles: true})), document.querySelectorAll('#messages li')[1].querySelector('.more').click()`)
	if got := strings.Join(kim.choices(), " "); strings.Contains(got, "Edit") || strings.Contains(got, "Delete") {
		t.Errorf("the menu of another's message has %s", got)
	}
	kim.screenshot("menu-open")
	kim.js(`document.getElementById('actions').hidePopover()`)

	lee.act("yes!", "Delete")
	wait(lee, fates, []string{"Deleted."})
	lee.js(`document.querySelector('.fate button').click()`) // undo
	wait(lee, fates, []string{})
	wait(lee, `document.querySelectorAll('#messages .text')[1].checkVisibility()`, true)
	lee.act("yes!", "Delete")
	wait(lee, `document.querySelectorAll('#messages .text')[1].checkVisibility()`, false)
	wait(kim, texts, []string{"tea at six?"})
	wait(lee, texts, []string{"tea at six?"})
	if got := stored(t, url); len(got) != 1 || got[0] != "tea at six?" {
		t.Errorf("the server has %q", got)
	}
}

// What is done offline is shown at once, survives a reload, and happens later, in order.
func TestChangesMadeOffline(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	browser := startBrowser(t)
	p := join(t, browser, network.url())
	p.say("one")
	p.say("two")
	wait(p, pendings+`.length`, 0)
	p.act("one", "👍")
	wait(p, chips, []string{"👍 1*"})
	chattest.Within(t, patience, "the reaction is stored", func() bool { return strings.Contains(history(t, url), "reactions") })
	network.set(badPosts)
	p.act("one", "👍")
	wait(p, chips, []string{})
	p.act("one", "Edit")
	p.do(write("!"), press(enter))
	p.act("two", "Delete")
	wait(p, texts, []string{"one!", "two"})
	wait(p, edited, 1)
	p.reload()
	wait(p, texts, []string{"one!", "two"})
	wait(p, `document.querySelectorAll('#messages .text')[1].checkVisibility()`, false)
	network.set(healthy)
	network.Disconnect() // so that it need not wait for the next try
	wait(p, texts, []string{"one!"})
	chattest.Within(t, patience, "all is stored", func() bool {
		now := history(t, url)
		return strings.Contains(now, `"one!"`) && !strings.Contains(now, "two") && !strings.Contains(now, "👍")
	})
}

// history is what the server has, as it says it.
func history(t *testing.T, url string) string {
	t.Helper()
	return chattest.At(url, http.DefaultClient).Do(t, http.MethodGet, "/history?limit=200", "").Body
}

// A link to a message loads around it, however far back it is.
func TestALinkToAMessage(t *testing.T) {
	url := site(t, "retain 6000")
	postMany(t, url+"/update", 5500)
	browser := startBrowser(t)
	p := join(t, browser, url)
	var ids []string
	for _, text := range []string{"message 300", "message 4000"} {
		ids = append(ids, eval[string](p, `(async () => {
			for (let before = '';;) {
				const { messages } = await fetch('history?limit=200' + before).then(r => r.json());
				const found = messages.find(m => m.text === '`+text+`');
				if (found) return found.id;
				before = '&before=' + messages[0].id;
			}
		})()`))
	}
	p.visit(inEnglish(url) + "#" + ids[0])
	const marked = `document.querySelector('.marked .text')?.textContent ?? ''`
	wait(p, marked, "message 300")
	const isInView = `(({ top, bottom }) => top > 0 && bottom < innerHeight)(document.querySelector('.marked').getBoundingClientRect())`
	wait(p, isInView, true)
	wait(p, `document.querySelectorAll('#messages li').length > 40`, true)
	// from there it goes to the end as ever
	p.js(`document.getElementById('pill').click()`)
	wait(p, texts+`.at(-1)`, "message 5500")
	// another link in the same page
	p.js(`location.hash = ` + strconv.Quote(ids[1]))
	wait(p, marked, "message 4000")
	wait(p, isInView, true)
	// one that was never there
	p.js(`location.hash = '5'`)
	wait(p, `document.getElementById('note').textContent`, "This message is not kept any more.")
}

// All of the menu works with the keyboard alone, and on a touch screen.
func TestTheMenuWithoutAPointer(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.say("one")
	p.say("two")
	wait(p, pendings+`.length`, 0)
	const at = `document.activeElement.closest('li')?.querySelector('.text').textContent ?? ''`
	p.js(`document.getElementById('scroller').focus()`)
	wait(p, `document.querySelector('#messages li:last-child .more') !== null`, true)
	p.do(press(tabKey))
	wait(p, at, "two")
	p.do(press(arrowUp))
	wait(p, at, "one")
	p.do(press(enter))
	wait(p, `document.activeElement.textContent`, "👍")
	p.do(press(arrowUp))
	wait(p, `document.activeElement.textContent`, "Copy link")
	p.do(press(arrowUp), press(enter))
	wait(p, `document.getElementById('note').textContent`, "Copied.")
	wait(p, at, "one")
	p.do(press(enter))
	wait(p, `document.activeElement.textContent`, "👍")
	p.do(press(escape))
	wait(p, at, "one")

	// any emoji
	p.do(press(enter))
	wait(p, `document.activeElement.textContent`, "👍")
	p.js(`document.querySelector('#actions [aria-label="Other emoji"]').click()`)
	wait(p, `document.activeElement.localName`, "input")
	p.do(write("🦥"))
	wait(p, chips, []string{"🦥 1*"})

	phone := newTab(t, startBrowser(t))
	phone.touch()
	phone.resize(360, 640)
	phone.visit(inEnglish(url))
	wait(phone, texts, []string{"one", "two"})
	wait(phone, chips, []string{"🦥 1"})
	phone.longPress("two")
	wait(phone, `document.querySelector('#actions')?.matches(':popover-open') ?? false`, true)
	phone.screenshot("menu-phone")
	if got := strings.Join(phone.choices(), " "); got != "👍 ❤️ 😂 😮 😢 🙏 ＋ Reply Copy text Copy link" {
		t.Errorf("the menu has %s", got)
	}

	// the focus does not vanish with what had it
	p.js(`document.querySelector('.reaction').focus()`)
	p.do(press(enter))
	wait(p, chips, []string{})
	wait(phone, chips, []string{})
	wait(p, `document.activeElement.closest('#messages') !== null`, true)
}

// longPress keeps a finger on a message until its menu opens.
func (p *tab) longPress(text string) {
	p.t.Helper()
	at := eval[[]float64](p, `(({ left, top }) => [left + 5, top + 5])([...document.querySelectorAll('#messages .text')].find(t => t.textContent === `+strconv.Quote(text)+`).getBoundingClientRect())`)
	p.touchAt(input.DispatchTouchEventTypeTouchStart, &input.TouchPoint{X: at[0], Y: at[1]})
	defer p.touchAt(input.DispatchTouchEventTypeTouchEnd)
	wait(p, `document.querySelector('#actions')?.matches(':popover-open') ?? false`, true)
}

// touchAt puts fingers on the screen, or takes them off.
func (p *tab) touchAt(kind input.DispatchTouchEventType, points ...*input.TouchPoint) {
	p.t.Helper()
	call(p, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: kind, TouchPoints: append([]*input.TouchPoint{}, points...)})
}

// A change that the server refuses says so at its message, and can be discarded.
func TestARefusedChange(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.say("one")
	wait(p, pendings+`.length`, 0)
	p.act("one", "Edit")
	network.set(forbidden)
	p.do(write("!"), press(enter))
	wait(p, failures, []string{"one!"})
	wait(p, fates, []string{"not sent: you may not write here"})
	p.js(`document.querySelectorAll('.fate button')[1].click()`)
	wait(p, texts, []string{"one"})
	wait(p, fates, []string{})
	wait(p, edited, 0)
	wait(p, drafts+`.length`, 0)
}

// All that stands around messages is accessible, in each look.
func TestAccessibilityOfTheMenu(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.name("jamie")
	p.say("Lunch at the river, or is it too cold?")
	p.say("I would book a table for six.")
	wait(p, pendings+`.length`, 0)
	p.act("Lunch at the river, or is it too cold?", "❤️")
	p.act("Lunch at the river, or is it too cold?", "👍")
	wait(p, chips, []string{"❤️ 1*", "👍 1*"})
	p.act("I would book a table for six.", "Edit")
	p.axe("editing")
	p.js(`document.activeElement.select()`)
	p.do(write("I would book a table for seven."), press(enter))
	wait(p, edited, 1)
	p.act("Lunch at the river, or is it too cold?", "Reply")
	wait(p, `document.getElementById('replying')?.checkVisibility() ?? false`, true)
	p.axe("replying")
	p.say("Not with a coat")
	wait(p, quotes, []string{"jamie Lunch at the river, or is it too cold?"})
	wait(p, pendings+`.length`, 0)
	p.js(`document.querySelector('.quote').click()`)
	wait(p, `document.querySelector('.marked .text')?.textContent ?? ''`, "Lunch at the river, or is it too cold?")
	p.everyLook("lively")

	p.resize(320, 640)
	p.openMenu("Not with a coat")
	p.fits("message menu")
	p.axe("message menu")
	p.screenshot("look-message-menu-320")
	p.js(`document.querySelector('#actions [aria-label="Other emoji"]').click()`)
	wait(p, `document.querySelector('#actions input') !== null`, true)
	p.fits("emoji")
	p.axe("emoji")
	p.screenshot("look-emoji-320")
	p.do(press(escape))
	p.media("forced-colors", "active")
	p.screenshot("look-lively-forced-colors")
	p.axe("lively, forced colours")
	p.media()
	p.act("Not with a coat", "Delete")
	wait(p, fates, []string{"Deleted."})
	p.axe("deleted")
	p.screenshot("look-deleted")
}

// A second edit goes on from the first, and one that the server finds too long can be
// mended.
func TestEditsThatWaitOrAreRefused(t *testing.T) {
	url := site(t, "max_text 20")
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.say("one")
	wait(p, pendings+`.length`, 0)
	network.set(badPosts)
	p.act("one", "Edit")
	p.do(write(" two"), press(enter))
	wait(p, texts, []string{"one two"})
	p.act("one two", "Edit")
	p.do(write(" three"), press(enter))
	wait(p, texts, []string{"one two three"})
	network.set(healthy)
	network.Disconnect()
	chattest.Within(t, patience, "the change is stored", func() bool { return stored(t, url)[0] == "one two three" })
	wait(p, fates, []string{})

	p.act("one two three", "Edit")
	p.do(write(" four five six"), press(enter))
	wait(p, failures, []string{"one two three four five six"})
	p.js(`[...document.querySelectorAll('.fate button')].find(b => b.textContent === 'Edit').click()`)
	wait(p, `document.activeElement.value ?? ''`, "one two three four five six")
	p.js(`document.activeElement.select()`)
	p.do(write("short"), press(enter))
	wait(p, texts, []string{"short"})
	wait(p, fates, []string{})
}

// A quote or a link of a message that is gone says so, and leaves the reader where it is.
func TestALinkToADeletedMessage(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.say("first")
	p.say("second")
	wait(p, pendings+`.length`, 0)
	id := p.idOf("first")
	p.act("first", "Reply")
	p.say("third")
	wait(p, quotes, []string{"you first"})
	p.act("first", "Delete")
	wait(p, texts, []string{"second", "third"})
	wait(p, quotes, []string{"This message is not kept any more."})
	p.js(`document.querySelector('.quote').click()`)
	wait(p, `document.getElementById('note').textContent`, "This message is not kept any more.")
	wait(p, texts, []string{"second", "third"})
	p.visit("about:blank")
	p.visit(inEnglish(url) + "#" + id)
	wait(p, texts, []string{"second", "third"})
	wait(p, `document.getElementById('note').textContent`, "This message is not kept any more.")
}

// A change of a message that is not in the page leaves no hole in it.
func TestAChangeOfAFarMessage(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.say("far")
	wait(p, pendings+`.length`, 0)
	network.set(badPosts)
	p.act("far", "👍")
	wait(p, chips, []string{"👍 1*"})
	postMany(t, url+"/update", 60)
	p.js(`document.activeElement.blur()`)
	p.reload()
	network.set(healthy)
	chattest.Within(t, patience, "the reaction is stored", func() bool { return strings.Contains(history(t, url), "👍") })
	wait(p, texts+`.at(-1)`, "message 60")
	wait(p, drafts+`.length`, 0)
	wait(p, `document.querySelectorAll('#messages li').length >= 50`, true)
	p.js(toTop)
	wait(p, texts+`.slice(0, 2)`, []string{"far", "message 1"})
}
