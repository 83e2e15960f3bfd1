package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
)

const (
	field   = `document.getElementById('text').value`
	counter = `(c => c.hidden ? '' : c.textContent)(document.getElementById('counter'))`
)

// during is a key during a composition: the browser reports it with code 229 and
// no text.
func during(key input.DispatchKeyEventParams) input.DispatchKeyEventParams {
	key.WindowsVirtualKeyCode, key.Text = 229, ""
	return key
}

// An Enter that ends a composition is the input method's, not ours; it must not
// send, and the last syllable must not be sent again.
func TestEnterWhileComposing(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.js(`document.getElementById('text').focus()`)
	for _, way := range []struct {
		name string
		do   func()
	}{
		{"macOS Chrome: Enter twice, the first within the composition", func() {
			p.do(compose("안녕"), press(during(enter)), write("안녕"), press(enter))
		}},
		{"Safari: an Enter after the composition with the code of one within", func() {
			p.do(compose("안녕"), write("안녕"), press(during(enter)))
			if got := eval[string](p, field); got != "안녕" {
				t.Errorf("after the Enter of the input method %q is in the field", got)
			}
			p.do(press(enter))
		}},
		{"the button, in the middle of a composition", func() {
			p.do(compose("안녕"))
			p.click("#send")
		}},
		{"a syllable after another", func() {
			p.do(compose("아"), compose("안"), press(during(enter)), write("안"), compose("녀"), compose("녕"), press(during(enter)), write("녕"), press(enter))
		}},
	} {
		before := eval[int](p, texts+`.length`)
		way.do()
		wait(p, texts+`.slice(`+itoa(before)+`)`, []string{"안녕"})
		wait(p, pendings+`.length`, 0)
		wait(p, field, "")
		if got := stored(t, url); len(got) != before+1 {
			t.Errorf("%s: the server has %q", way.name, got)
		}
	}
	if got := p.asked("POST /update"); got != 4 {
		t.Errorf("%d messages were sent, want 4", got)
	}
}

func TestKeysOfTheComposer(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	shift := enter
	shift.Modifiers = 8
	p.js(`document.getElementById('text').focus()`)
	p.do(write("one"), press(shift), write("two"), press(enter))
	wait(p, texts, []string{"one\ntwo"})

	p.say("second")
	wait(p, texts+`.length`, 2)

	// nothing to send
	p.js(`document.getElementById('text').value = ''`)
	p.say(" \n ")
	// clipboard content of a terminal or a broken program
	p.js(`document.getElementById('text').value = 'bell\u0007 half\ud83d \u009b end \n'`)
	p.do(press(enter))
	wait(p, texts+`.at(-1)`, "bell half\ufffd  end")
	wait(p, pendings+`.length`, 0)
	if got := p.asked("POST /update"); got != 3 {
		t.Errorf("%d messages were sent, want 3", got)
	}
}

// On a touch screen Enter starts a new line, and the button sends.
func TestEnterOnATouchScreen(t *testing.T) {
	p := newTab(t, startBrowser(t))
	p.touch()
	p.resize(360, 640)
	p.visit(inEnglish(site(t)))
	wait(p, state, "live")
	if got := eval[string](p, `document.activeElement.localName`); got != "body" {
		t.Errorf("the keyboard of the phone opens by itself: %s has the focus", got)
	}
	p.js(`document.getElementById('text').focus()`)
	p.do(write("one"), press(enter), write("two"))
	wait(p, field, "one\ntwo")
	p.click("#send")
	wait(p, texts, []string{"one\ntwo"})
}

func TestTheCounter(t *testing.T) {
	p := join(t, startBrowser(t), site(t))
	p.js(`document.getElementById('text').focus()`)
	for text, want := range map[string]string{
		strings.Repeat("a", 7000):            "",
		strings.Repeat("a", 8000):            "192 characters left",
		strings.Repeat("한", 2731):            "1 character too many",
		strings.Repeat("한", 2730) + "..":     "0 characters left",
		strings.Repeat("a", 600_000):         "591,808 characters too many",
		strings.Repeat("a", 8190) + "👩‍🚀👩‍🚀": "2 characters too many",
	} {
		p.js(`document.getElementById('text').select()`)
		p.do(write(text))
		wait(p, counter, want)
	}
	p.js(`document.getElementById('text').select()`)
	p.do(write(strings.Repeat("한", 2731)), press(enter))
	wait(p, `document.getElementById('text').ariaInvalid`, "true")
	if got := p.asked("POST /update"); got != 0 {
		t.Errorf("a text that is too long was sent")
	}
	p.screenshot("too-long")
}

// Each room has its own draft, which survives a reload.
func TestDrafts(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.js(`document.getElementById('text').focus()`)
	p.do(write("for the lobby"))
	p.enterRoom("tea")
	wait(p, field, "")
	p.js(`document.getElementById('text').focus()`)
	p.do(write("for tea"))
	p.back()
	wait(p, field, "for the lobby")
	p.reload()
	wait(p, field, "for the lobby")
	p.forward()
	wait(p, field, "for tea")
}

// enterRoom enters a room as a reader does, by typing its name.
func (p *tab) enterRoom(name string) {
	p.t.Helper()
	p.js(`document.getElementById('go-to').focus()`)
	p.do(write(name), press(enter))
}

const keptDrafts = `Object.keys(localStorage).filter((key) => key.includes(' draft ')).length`

// A draft survives its tab, and two tabs of a room keep theirs apart.
func TestDraftsOfClosedTabs(t *testing.T) {
	url := site(t)
	chromium := startBrowser(t)
	p := join(t, chromium, url)
	p.js(`document.getElementById('text').focus()`)
	p.do(write("not sent yet"))
	wait(p, keptDrafts, 1)
	p.close()

	one := join(t, chromium, url)
	wait(one, field, "not sent yet")
	one.do(write("!"))
	one.say("")
	wait(one, texts, []string{"not sent yet!"})
	wait(one, keptDrafts, 0)

	two := join(t, chromium, url)
	for p, text := range map[*tab]string{one: "from one", two: "from two"} {
		p.js(`document.getElementById('text').focus()`)
		p.do(write(text))
	}
	wait(two, keptDrafts, 2)
	one.reload()
	two.reload()
	wait(one, field, "from one")
	wait(two, field, "from two")
	// a third one shows what it finds, and takes it from nobody
	three := join(t, chromium, url)
	wait(three, `(`+field+`).startsWith('from ')`, true)
	three.js(`document.getElementById('text').select()`)
	three.do(write("sent "), press(enter))
	wait(three, texts, []string{"not sent yet!", "sent"})
	three.close()
	one.close()
	two.close()
	again, too := join(t, chromium, url), join(t, chromium, url)
	wait(again, `(`+field+`).startsWith('from ')`, true)
	wait(too, `(`+field+`).startsWith('from ')`, true)
	if a, b := eval[string](again, field), eval[string](too, field); a == b {
		t.Errorf("both tabs show the draft %q", a)
	}
}

// Drafts of rooms that nobody visits any more go away.
func TestOldDrafts(t *testing.T) {
	p := join(t, startBrowser(t), site(t), `if (!localStorage.length) for (let i = 0; i < 80; i++) localStorage.setItem('sse-chat / draft room-' + i + ' x', JSON.stringify(['text ' + i, i]))`)
	wait(p, keptDrafts, 50)
	p.enterRoom("room-79")
	wait(p, field, "text 79")
	p.enterRoom("room-3")
	wait(p, field, "")
	wait(p, keptDrafts, 50)
}
