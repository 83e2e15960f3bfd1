package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/caddyproc"
)

const (
	texts = `[...document.querySelectorAll('#messages .text')].map(p => p.textContent)`
	state = `document.body.dataset.connection ?? ''`
)

func (p *tab) say(text string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS("#text")), write(text), press(enter))
}

// post publishes as a bot does.
func post(t *testing.T, url, text string) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"text": text})
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s", url, response.Status)
	}
}

func TestTwoTabsChatOverARestart(t *testing.T) {
	port := caddyproc.FreePort(t)
	url := "http://localhost:" + port
	caddy := serve(t, port, "../public")
	chromium := browser(t)
	kim, lee := open(t, chromium, url), open(t, chromium, url)
	for _, p := range []*tab{kim, lee} {
		wait(p, state, "live")
	}
	kim.say("안녕하세요 <b>여러분</b>")
	lee.say("hello")
	want := []string{"안녕하세요 <b>여러분</b>", "hello"}
	for _, p := range []*tab{kim, lee} {
		wait(p, texts, want)
	}
	kim.screenshot("chat")

	caddy.Terminate(t)
	for _, p := range []*tab{kim, lee} {
		wait(p, state, "waiting")
	}
	kim.say("written while the server is away")
	serve(t, port, "../public")
	for _, p := range []*tab{kim, lee} {
		wait(p, state, "live")
	}
	post(t, url+"/update", "from a bot")
	lee.say("back again")
	want = append(want, "written while the server is away", "from a bot", "back again")
	for _, p := range []*tab{kim, lee} {
		wait(p, texts+".length", len(want))
		wait(p, texts+".sort()", sorted(want))
	}
	if gaps := eval[int](lee, `document.querySelectorAll('.gap:not([hidden])').length`); gaps != 1 {
		t.Errorf("the restart of a memory hub is told %d times, want once", gaps)
	}
	kim.screenshot("chat-after-restart")

	// a page that comes later sees what is kept
	late := open(t, chromium, url)
	wait(late, texts+".length", 3)
}

func TestTheFirstPageStillWorks(t *testing.T) {
	port := caddyproc.FreePort(t)
	url := "http://localhost:" + port
	serve(t, port, "testdata/first")
	p := open(t, browser(t), url)
	wait(p, `document.readyState + source.readyState`, "complete1")
	for _, text := range []string{"안녕", "two\nlines", "<script>"} {
		post(t, url+"/update", text)
	}
	wait(p, `messages.map(m => m.text)`, []string{"안녕", "two\nlines", "<script>"})
	if !eval[bool](p, `messages.every(m => typeof m.timestamp === 'number' && Math.abs(Date.now() - m.timestamp) < 60000)`) {
		t.Error("the timestamps are not in milliseconds")
	}
	if got := eval[string](p, `ids.join() === messages.map(m => m.id).join() ? 'same' : ids.join()`); got != "same" {
		t.Errorf("the ids of the events are %s", got)
	}
}

// An Enter that ends a composition is the input method's, not ours; it must not
// send, and the last syllable must not be sent again.
func TestEnterWhileComposing(t *testing.T) {
	port := caddyproc.FreePort(t)
	url := "http://localhost:" + port
	serve(t, port, "../public")
	p := open(t, browser(t), url)
	wait(p, state, "live")
	composing := enter
	composing.WindowsVirtualKeyCode, composing.Text = 229, ""
	p.do(chromedp.Focus(chromedp.CSS("#text")), compose("안녕"), press(composing))
	if got := eval[int](p, texts+".length"); got != 0 {
		t.Errorf("%d messages were sent while composing", got)
	}
	p.do(write("안녕"), press(enter))
	wait(p, texts, []string{"안녕"})
	if got := eval[string](p, `document.getElementById('text').value`); got != "" {
		t.Errorf("%q is left in the field", got)
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
