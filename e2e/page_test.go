package e2e

import (
	"slices"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

func TestTwoTabsChatOverARestart(t *testing.T) {
	port := chattest.FreePort(t)
	url := "http://localhost:" + port
	caddy := serve(t, port, "../public")
	chromium := startBrowser(t)
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

	// a page opened later shows the kept messages
	late := open(t, chromium, url)
	wait(late, texts+".length", 3)
}

func TestTheFirstPageStillWorks(t *testing.T) {
	port := chattest.FreePort(t)
	url := "http://localhost:" + port
	serve(t, port, "testdata/first")
	p := open(t, startBrowser(t), url)
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

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
