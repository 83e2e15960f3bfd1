package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
)

const typists = `document.getElementById('typing').textContent`

// letter is a key that types something.
func letter(char string) input.DispatchKeyEventParams {
	return input.DispatchKeyEventParams{Key: char, Code: "Key" + strings.ToUpper(char), Text: char, WindowsVirtualKeyCode: int64(strings.ToUpper(char)[0])}
}

// Others see that somebody types, and the own tabs do not.
func TestSomebodyTypes(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	browser := startBrowser(t)
	kim, lee := join(t, browser, url), join(t, startBrowser(t), network.url())
	kim.js(`document.getElementById('ask-name').focus()`)
	kim.do(write("kim"), press(enter))
	wait(kim, here, "2 here; kim (you); 1 without a name")
	also := join(t, browser, url)
	wait(lee, here, "2 here; kim; 1 without a name")
	for _, p := range []*tab{kim, also} {
		p.js(`globalThis.seen = ''; new MutationObserver(() => { seen += ` + typists + ` }).observe(document.getElementById('typing'), { childList: true })`)
	}
	height := eval[float64](lee, `document.getElementById('scroller').clientHeight`)
	kim.js(`document.getElementById('text').focus()`)
	kim.do(press(letter("h")), press(letter("i")), press(letter("o")))
	wait(lee, typists, "kim is typing…")
	lee.screenshot("typing")
	if got := eval[float64](lee, `document.getElementById('scroller').clientHeight`); got != height {
		t.Errorf("the messages have %v pixels while somebody types, else %v", got, height)
	}
	if got := eval[bool](lee, `document.getElementById('typing').closest('[role], [aria-live], output') !== null`); got {
		t.Error("it is read out")
	}
	if got := kim.asked("POST /update"); got != 1 {
		t.Errorf("three keys sent %d signals, want 1", got)
	}
	// until the message comes
	kim.do(press(enter))
	wait(lee, texts, []string{"hio"})
	wait(lee, typists, "")

	signal := func(room, who string) {
		network.inject(fmt.Sprintf("event: signal\ndata: {\"room\":%q,%s,\"signal\":\"typing\"}\n\n", room, who))
	}
	signal("tea", `"name":"nobody here"`)
	signal("lobby", `"name":"kim"`)
	signal("lobby", `"name":"kim"`)
	signal("lobby", `"name":"지은"`)
	wait(lee, typists, "kim and 지은 are typing…")
	begin := time.Now()
	signal("lobby", `"name":""`)
	wait(lee, typists, "several people are typing…")
	wait(lee, typists, "")
	if lasted := time.Since(begin); lasted < 4*time.Second || lasted > 8*time.Second {
		t.Errorf("it is shown for %v", lasted)
	}
	signal("lobby", `"name":""`)
	wait(lee, typists, "someone is typing…")
	// in another room, others type
	lee.enterRoom("tea")
	wait(lee, typists, "")
	wait(lee, state, "live")
	signal("tea", `"name":"<b>","author":"abcdefghijk"`)
	wait(lee, typists, "<b> is typing…")
	for _, p := range []*tab{kim, also} {
		if seen := eval[string](p, `seen`); seen != "" {
			t.Errorf("the reader's own page has shown %q", seen)
		}
	}
	// without a name, several people would look like oneself
	wait(kim, here, "2 here; kim (you); 1 without a name")
	lee.enterRoom("lobby")
	lee.js(`document.getElementById('text').focus()`)
	lee.do(press(letter("a")))
	wait(kim, typists, "someone is typing…")
}

// What is typed goes to the composer, wherever the focus is.
func TestTypingAnywhere(t *testing.T) {
	url := site(t)
	postMany(t, url+"/update", 60)
	p := join(t, startBrowser(t), url)
	p.enterRoom("tea")
	p.enterRoom("lobby")
	wait(p, `document.activeElement.id`, "text")
	for _, from := range []string{`document.activeElement.blur()`, `document.getElementById('scroller').focus()`, `document.querySelector('#rooms a').focus()`} {
		p.js(from)
		p.do(press(letter("a")))
		wait(p, `document.activeElement.id + ' ' + `+field, "text a")
		p.do(press(letter("b")))
		wait(p, field, "ab")
		p.js(`document.getElementById('text').value = ''`)
	}

	// a space scrolls, keys of the browser and other fields keep theirs
	p.js(`document.getElementById('scroller').focus()`)
	copies := letter("c")
	copies.Modifiers, copies.Text = 2, ""
	p.do(press(space), press(copies), press(arrowUp))
	wait(p, `document.activeElement.id`, "scroller")
	p.js(`document.getElementById('go-to').focus()`)
	p.do(press(letter("a")))
	wait(p, `document.activeElement.value`, "a")
	p.js(`document.getElementById('send').focus()`)
	p.do(press(letter("a")))
	wait(p, field, "")
	p.resize(320, 640)
	p.click("#open-menu")
	wait(p, `document.getElementById('menu').matches(':popover-open')`, true)
	p.js(`document.querySelector('#rooms a').focus()`)
	p.do(press(letter("a")))
	wait(p, `document.activeElement.localName + `+field, "a")

	// as with a click on a room
	p.js(`document.querySelectorAll('#rooms a')[1].click()`)
	wait(p, `document.getElementById('room').textContent`, "tea")
	wait(p, `document.activeElement.id`, "text")
}

// transfer dispatches a paste or a drop with data on an element.
const transfer = `(type, selector, text, isFile) => {
	const data = new DataTransfer();
	if (text) data.setData('text/plain', text);
	if (isFile) data.items.add(new File(['x'], 'x.png', { type: 'image/png' }));
	const how = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
	return document.querySelector(selector).dispatchEvent(type === 'paste' ? new ClipboardEvent(type, how) : new DragEvent(type, how));
}`

// Only text can be sent, and the page says so. Nothing that is dropped replaces it.
func TestPastedAndDropped(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	note := `document.getElementById('note').textContent`
	for _, c := range []struct {
		event, selector, text string
		isFile, isLeft        bool
		want                  string
	}{
		{"paste", "#text", "", true, false, " Only text can be sent."},
		{"paste", "#scroller", "", true, false, " Only text can be sent."},
		{"dragover", "body", "", true, false, " "},
		{"dragover", "#text", "", true, false, " "},
		{"dragover", "#text", "", false, true, " "},
		{"drop", "body", "", true, false, " Only text can be sent."},
		{"drop", "#text", "", true, false, " Only text can be sent."},
		{"drop", "#go-to", "", true, false, " Only text can be sent."},
		{"drop", "#messages", "a text", false, false, "a text "},
		{"paste", "#scroller", "two\nlines", false, false, "two\nlines "},
		{"paste", "body", "with", true, false, "with Only text can be sent."},
		{"paste", "#text", "by the browser", false, true, " "},
		{"drop", "#text", "by the browser", false, true, " "},
		{"drop", "#go-to", "by the browser", false, true, " "},
	} {
		left := eval[bool](p, fmt.Sprintf(`(%s)(%q, %q, %q, %v)`, transfer, c.event, c.selector, c.text, c.isFile))
		if left != c.isLeft {
			t.Errorf("%+v is left to the browser: %v", c, left)
		}
		wait(p, field+` + ' ' + `+note, c.want)
		if c.isFile && c.event == "drop" && c.selector == "body" {
			p.screenshot("only-text")
		}
		p.js(`(f => { f.value = ''; f.dispatchEvent(new Event('input')) })(document.getElementById('text'))`)
	}
	if got := eval[string](p, `document.getElementById('note').role`); got != "status" {
		t.Errorf("it is told with the role %s", got)
	}
	p.js(fmt.Sprintf(`(%s)('paste', '#scroller', 'one', false)`, transfer))
	wait(p, field, "one")
	p.js(`document.getElementById('text').setSelectionRange(0, 0)`)
	p.js(fmt.Sprintf(`(%s)('drop', 'body', 'two ', false)`, transfer))
	wait(p, field, "two one")
	p.do(press(enter))
	wait(p, texts, []string{"two one"})
}
