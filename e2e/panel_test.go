package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	opened = `(document.querySelector(':popover-open')?.id ?? '')`
	marked = ` + String(history.state)` // whether going back closes it
)

// The panel of the room tells all that are there, also those whose names are not told.
func TestThreeHundredPeople(t *testing.T) {
	t.Parallel()
	site := site(t)
	for i := range 300 {
		comeIn(t, site, fmt.Sprintf("?name=n%03d", i))
	}
	p := join(t, startBrowser(t), site)
	p.resize(320, 568)
	wait(p, `document.getElementById('room').scrollWidth === document.getElementById('room').clientWidth`, true)
	wait(p, `document.getElementById('count').textContent.startsWith('301 here · n000, n001')`, true)
	p.click("#here")
	wait(p, `[...document.querySelectorAll('#about li, #about ul + button')].map(e => e.textContent).slice(-3)`, []string{"n019", "1 without a name", "and 280 more"})
	p.fits("many people")
	p.screenshot("panel-many")
	p.click("#about ul + button")
	wait(p, `[...document.querySelectorAll('#about li')].map(e => e.textContent).slice(-3)`, []string{"n099", "1 without a name", "and 200 more"})
	wait(p, `document.querySelector('#about ul + button').checkVisibility()`, false)
	wait(p, `document.activeElement.localName`, "ul")
}

// The link of the room is shared, or else copied, or else shown to be copied.
func TestInvite(t *testing.T) {
	t.Parallel()
	site := site(t)
	chromium := startBrowser(t)
	told := `document.querySelector('#about [role="status"]').textContent`
	for name, c := range map[string]struct{ before, button, told, done string }{
		"copied":    {`navigator.clipboard.writeText = async (text) => { globalThis.done = text }`, "Copy link", "Copied.", site + "/?room=tea"},
		"shared":    {`navigator.share = async ({ title, url }) => { globalThis.done = title + ' ' + url }`, "Share link", "", "tea " + site + "/?room=tea"},
		"forbidden": {`navigator.clipboard.writeText = async () => { throw new DOMException('', 'NotAllowedError') }; document.execCommand = () => false`, "Copy link", site + "/?room=tea", ""},
		"insecure":  {`Object.defineProperty(navigator, 'clipboard', {})`, "Copy link", "Copied.", ""},
		"unshared":  {`navigator.share = async () => { throw new DOMException('', 'AbortError') }`, "Share link", "", ""},
	} {
		p := join(t, chromium, site+"/?room=tea", c.before)
		p.resize(320, 568)
		p.click("#here")
		wait(p, `document.querySelector('#about button')?.textContent`, c.button)
		p.click("#about button")
		wait(p, `globalThis.done ?? ''`, c.done)
		wait(p, told, c.told)
		selected := ""
		if c.told != "Copied." {
			selected = c.told
		}
		wait(p, `getSelection().toString()`, selected)
		if name == "forbidden" {
			p.fits(name)
			p.axe(name)
			p.screenshot("panel-link")
		}
	}
}

// A room can be left, also the shown one. Going back shows it, but does not put it into
// the list.
func TestLeavingARoom(t *testing.T) {
	t.Parallel()
	site := site(t)
	p := join(t, startBrowser(t), site)
	leave := func() {
		t.Helper()
		p.click("#here")
		wait(p, `document.querySelectorAll('#about button').length > 1`, true)
		p.js(`[...document.querySelectorAll('#about button')].find(b => b.textContent === 'Leave this room').click()`)
	}
	p.click("#here")
	wait(p, `document.querySelectorAll('#about li').length`, 1)
	wait(p, `[...document.querySelectorAll('#about button')].find(b => b.textContent === 'Leave this room').checkVisibility()`, false)
	p.do(press(escape))
	wait(p, `history.state`, any(nil))
	wait(p, `document.getElementById('about').childElementCount`, 0) // nobody leaves another room by it
	for _, room := range []string{"tea", "coffee"} {
		p.enterRoom(room)
		wait(p, titles, room+","+room)
	}
	wait(p, roomList, []string{"coffee", "tea", "Lobby"})
	leave()
	wait(p, titles, "tea,tea")
	wait(p, roomList, []string{"tea", "Lobby"})
	wait(p, `location.search`, "?lang=en&room=tea")
	wait(p, opened, "")

	p.back()
	wait(p, titles, "coffee,coffee")
	wait(p, state, "live")
	wait(p, roomList, []string{"tea", "Lobby"})
	p.back()
	wait(p, titles, "tea,tea")
	wait(p, roomList, []string{"tea", "Lobby"})
	p.forward()
	wait(p, titles, "coffee,coffee")
	p.say("here I stay")
	wait(p, texts, []string{"here I stay"})
	wait(p, roomList, []string{"coffee", "tea", "Lobby"})
	p.reload()
	wait(p, roomList, []string{"coffee", "tea", "Lobby"})
	for _, next := range []string{"tea", "Lobby"} {
		leave()
		wait(p, titles, next+","+next)
	}
	wait(p, roomList, []string{"Lobby"})
	// from the list as well
	p.enterRoom("tea")
	wait(p, roomList, []string{"tea", "Lobby"})
	p.click("#rooms .leave")
	wait(p, titles, "Lobby,Lobby")
	wait(p, roomList, []string{"Lobby"})
}

// The menu of a small screen: only it can be used while it is open, and going back
// closes it.
func TestTheMenu(t *testing.T) {
	t.Parallel()
	site := site(t)
	p := join(t, startBrowser(t), site)
	p.enterRoom("tea")
	wait(p, roomList, []string{"tea", "Lobby"})
	p.resize(320, 568)
	for _, close := range []struct {
		how string
		by  func()
	}{
		{"going back", p.back},
		{"Escape", func() { p.do(press(escape)) }},
		{"its button", func() { p.click("#close-menu") }},
		{"a click beside it", func() { p.do(chromedp.MouseClickXY(310, 300)) }},
	} {
		p.js(`document.getElementById('open-menu').focus()`)
		p.do(press(space))
		wait(p, opened+` + document.activeElement.id + history.state`, "menuclose-menupanel")
		var order []string
		for range 9 {
			p.do(press(tabKey))
			order = append(order, eval[string](p, `document.activeElement.closest('#menu, main')?.localName ?? 'body'`))
		}
		if slices.Contains(order, "main") {
			t.Errorf("Tab goes from the menu to what is behind it: %q", order)
		}
		p.js(`document.getElementById('close-menu').focus()`)
		close.by()
		wait(p, opened, "")
		wait(p, `history.state`, any(nil))
		wait(p, titles, "tea,tea")
		wait(p, `document.querySelector('main').inert`, false)
		if close.how != "a click beside it" {
			wait(p, `document.activeElement.id`, "open-menu")
		}
	}
	// one panel after the other
	p.click("#here")
	wait(p, opened, "about")
	p.click("#open-menu")
	wait(p, opened+marked, "menupanel")
	if got := eval[string](p, `(({ left, top, width, height }) => document.elementFromPoint(left + width / 2, top + height / 2).className)(document.querySelector('#rooms .leave').getBoundingClientRect())`); got != "leave" {
		t.Errorf("the first room's button is covered by %q", got)
	}
	p.screenshot("menu-320")
	// a room instead of the entry for the menu
	p.js(`document.querySelector('#rooms li:last-child a').click()`)
	wait(p, titles, "Lobby,Lobby")
	wait(p, opened+marked, "null")
	p.back()
	wait(p, titles, "tea,tea")
	wait(p, opened+marked, "null")
	p.forward()
	wait(p, titles, "Lobby,Lobby")
	p.back()
	wait(p, titles, "tea,tea")
	p.click("#open-menu")
	wait(p, opened+marked, "menupanel")
	p.js(`document.querySelector('#rooms a').click()`) // the shown room
	wait(p, opened+marked, "null")
	wait(p, titles, "tea,tea")
	// the window grows
	p.click("#open-menu")
	wait(p, opened+marked, "menupanel")
	p.resize(1280, 640)
	wait(p, opened+marked, "null")
	wait(p, `document.querySelector('main').inert`, false)
}
