package e2e

import (
	"testing"

	"github.com/chromedp/cdproto/input"
)

// mouse presses or releases the button over the messages.
func (p *tab) mouse(kind input.DispatchMouseEventType) {
	p.t.Helper()
	call(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: kind, X: 500, Y: 300, Button: input.MouseButtonLeft, ClickCount: 1})
}

// Who points at a message or selects one does not lose it.
func TestTheListHoldsStill(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 60)
	p := join(t, startBrowser(t), url)
	p.resize(1000, 640)
	wait(p, fromEnd, 0)
	for name, way := range map[string][2]func(){
		"a button":    {func() { p.mouse(input.DispatchMouseEventTypeMousePressed) }, func() { p.mouse(input.DispatchMouseEventTypeMouseReleased) }},
		"a selection": {func() { p.js(`getSelection().selectAllChildren(document.querySelectorAll('#messages .text')[40])`) }, func() { p.js(`getSelection().removeAllRanges()`) }},
	} {
		wait(p, pill, "")
		top := eval[float64](p, `document.getElementById('scroller').scrollTop`)
		way[0]()
		wait(p, `performance.getEntriesByType('resource').some((r) => r.name.endsWith('/menu.js') && r.responseEnd > 0)`, true)
		wait(p, pill, "")
		for range 3 {
			post(t, url+"/update", "while it is held by "+name)
		}
		wait(p, pill, "3 new messages")
		if got := eval[float64](p, `document.getElementById('scroller').scrollTop`); got != top {
			t.Errorf("%s: the list has scrolled by %v pixels", name, got-top)
		}
		p.screenshot("held")
		way[1]()
		wait(p, fromEnd, 0)
		wait(p, pill, "")
		post(t, url+"/update", "after "+name)
		wait(p, texts+`.at(-1)`, "after "+name)
		wait(p, fromEnd, 0)
	}

	// who has scrolled in the meantime stays there
	p.js(`getSelection().selectAllChildren(document.querySelectorAll('#messages .text')[40])`)
	post(t, url+"/update", "not followed")
	wait(p, pill, "1 new message")
	scroll(p, `scroller.scrollTop - 300`)
	p.js(`getSelection().removeAllRanges()`)
	wait(p, pill, "1 new message")
	wait(p, `(`+fromEnd+`) > 250`, true)
}
