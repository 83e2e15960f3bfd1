package e2e

import (
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// In a page of the site, the chat neither takes the focus nor scrolls that page.
func TestEmbedded(t *testing.T) {
	url := "http://localhost:" + chattest.FreePort(t)
	block := siteBlock(t, "../public", "header /host Content-Type text/html\n\trespond /host `<!doctype html><title>host</title><input id=own>"+strings.Repeat("<br>", 200)+
		"<iframe width=600 height=500 src='/?lang=en'></iframe>"+strings.Repeat("<br>", 200)+"`\n\tsse_chat")
	caddytest.Start(t, url, strings.Replace(block, "frame-ancestors 'none'", "frame-ancestors 'self'; frame-src 'self'", 1))
	postMany(t, url+"/update", 40)
	p := newTab(t, startBrowser(t))
	p.visit(url + "/host")
	p.js(`document.getElementById('own').focus()`)
	const (
		inside = `document.querySelector('iframe').contentDocument`
		place  = `[document.activeElement.id, scrollY].join()`
	)
	wait(p, inside+`.body?.dataset.connection ?? ''`, "live")
	wait(p, inside+`.querySelectorAll('#messages .text').length`, 40)
	wait(p, place, "own,0")
	for range 40 {
		post(t, url+"/update?room=tea", "new")
	}
	for _, room := range []string{"tea", "lobby", "tea"} {
		p.js(`((d) => { d.getElementById('go-to').value = '` + room + `'; d.getElementById('go').requestSubmit() })(` + inside + `)`)
		wait(p, inside+`.getElementById('room').textContent`, strings.Replace(room, "lobby", "Lobby", 1))
		wait(p, place, "own,0")
	}
	wait(p, inside+`.querySelectorAll('#messages .text').length`, 40)
	// to the first unread message
	p.js(`document.querySelector('iframe').contentWindow.focus()`)
	wait(p, inside+`.title`, "tea")
	p.js(`document.getElementById('own').focus({ preventScroll: true })`)
	for range 30 {
		post(t, url+"/update?room=tea", "newer")
	}
	wait(p, inside+`.querySelectorAll('#messages .text').length`, 70)
	p.js(inside + `.getElementById('scroller').scrollTop = 1e6`)
	wait(p, inside+`.getElementById('to-fresh').hidden`, false)
	p.js(inside + `.getElementById('to-fresh').click()`)
	wait(p, `(([line, box]) => line > 0 && line < box)((d => [d.querySelector('.fresh').getBoundingClientRect().top, 500])(`+inside+`))`, true)
	wait(p, place, "own,0")
}
