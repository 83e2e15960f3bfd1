package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// close closes the tab as a reader does; the page may ask first.
func (p *tab) close() {
	p.t.Helper()
	gone, err := chromedp.Detached(p.ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	call(p, page.Close, struct{}{})
	select {
	case <-gone:
	case <-time.After(patience):
		p.t.Fatal("the tab does not close")
	}
	p.end()
}

// A message is sent even if the tab is closed right after. What sends is loaded with the
// first character, so a first message that takes no time to write waits for the next visit.
func TestClosingRightAfterEnter(t *testing.T) {
	for name, fault := range map[string]fault{"the answer is late": slowAnswers, "the message is late": slowPosts} {
		t.Run(name, func(t *testing.T) {
			url := site(t)
			network := newProxy(t, port(url))
			chromium := startBrowser(t)
			p := join(t, chromium, network.url())
			network.set(fault)
			p.js(`document.getElementById('text').focus()`)
			p.do(write("last words"))
			for _, file := range []string{"outbox", "sse-chat-more", "composer"} {
				wait(p, `performance.getEntriesByType('resource').some(({ name, responseEnd }) => responseEnd && name.endsWith('/`+file+`.js'))`, true)
			}
			p.do(press(enter))
			time.Sleep(30 * time.Millisecond) // the test is to close this soon
			p.close()
			// also if nobody comes back
			chattest.Within(t, patience, "the message is stored", func() bool { return len(stored(t, url)) == 1 })
			late := join(t, chromium, network.url())
			wait(late, texts, []string{"last words"})
			wait(late, pendings+`.length`, 0)
			wait(late, drafts+`.length`, 0)
			wait(late, `document.querySelectorAll('#messages .own').length`, 1)
			if got := stored(t, url); len(got) != 1 {
				t.Errorf("the server has %q", got)
			}
		})
	}
}

// The next page sends unsent messages, in order and once.
func TestClosingWhileOffline(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	chromium := startBrowser(t)
	p := join(t, chromium, network.url())
	p.offline(true)
	network.Disconnect()
	network.Cut(true)
	wait(p, state, "offline")
	var want []string
	for i := range 3 {
		want = append(want, fmt.Sprint("written offline ", i))
		p.say(want[i])
	}
	wait(p, pendings, want)
	p.close()
	if p.hasAsked() == 0 {
		t.Error("nobody was asked whether to leave what is not sent")
	}
	network.Connect()
	again := join(t, chromium, network.url())
	wait(again, texts, want)
	wait(again, pendings+`.length`, 0)
	wait(again, drafts+`.length`, 0)
	if got := stored(t, url); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
}

// A browser that crashes runs no more code of the page.
func TestABrowserThatDies(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	profile := chromedp.UserDataDir(t.TempDir())
	chromium := startBrowser(t, profile)
	p := join(t, chromium, network.url())
	network.set(badPosts)
	p.say("before the crash")
	wait(p, pendings+`.length`, 1)
	chattest.Within(t, patience, "the page has tried again", func() bool { return p.asked("POST /update") >= 2 })
	go func() { _, _ = chromedp.Call(p.ctx, page.Crash, struct{}{}) }() // it never answers
	network.set(healthy)
	again := join(t, chromium, network.url())
	wait(again, texts, []string{"before the crash"})
	wait(again, drafts+`.length`, 0)
	if got := stored(t, url); len(got) != 1 {
		t.Errorf("the server has %q", got)
	}
}

// Another open tab sends the messages of a closed one.
func TestAnotherTabSendsWhatOneHasLeft(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	chromium := startBrowser(t)
	p, q := join(t, chromium, network.url()), join(t, chromium, network.url())
	network.set(badPosts)
	for _, text := range []string{"one", "two"} {
		p.say(text)
	}
	// the other tab shows messages that are being sent
	wait(q, pendings, []string{"one", "two"})
	p.close()
	network.set(healthy)
	wait(q, texts, []string{"one", "two"})
	wait(q, pendings+`.length`, 0)
	wait(q, drafts+`.length`, 0)
	if got := stored(t, url); fmt.Sprint(got) != "[one two]" {
		t.Errorf("the server has %q", got)
	}
}

// The messages of many tabs are sent once and in order.
func TestManyTabsSendOnce(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	chromium := startBrowser(t)
	tabs := []*tab{join(t, chromium, network.url()), join(t, chromium, network.url()), join(t, chromium, network.url())}
	network.set(loseAnswers)
	for i := range 3 {
		for j, p := range tabs {
			p.say(fmt.Sprint("message ", i, " of tab ", j))
		}
	}
	tabs[0].close()
	tabs[1].reload()
	network.set(healthy)
	for _, p := range tabs[1:] {
		wait(p, texts+`.length`, 9)
		wait(p, pendings+`.length`, 0)
		wait(p, drafts+`.length`, 0)
		wait(p, `document.querySelectorAll('#messages .own').length`, 9)
	}
	seen := make(map[string]int)
	next := make([]int, len(tabs))
	for _, text := range stored(t, url) {
		var i, j int
		if seen[text]++; seen[text] > 1 {
			t.Errorf("%q was sent twice", text)
		}
		_, _ = fmt.Sscanf(text, "message %d of tab %d", &i, &j)
		if i != next[j] {
			t.Errorf("%q comes before message %d of its tab", text, next[j])
		}
		next[j]++
	}
	if len(seen) != 9 {
		t.Errorf("the server has %d messages, want 9", len(seen))
	}
}

// The page asks before it is left only if messages are waiting.
func TestWhoLeavesIsAskedWhileSomethingWaits(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	network.set(badPosts)
	p.say("not yet sent")
	wait(p, pendings+`.length`, 1)
	p.stays.Store(true)
	p.js(`setTimeout(() => { location.href = 'about:blank' })`)
	chattest.Within(t, patience, "the page has asked whether it may be left", func() bool { return p.hasAsked() == 1 })
	network.set(healthy)
	wait(p, pendings+`.length`, 0)
	wait(p, texts, []string{"not yet sent"})
	p.visit("about:blank")
	if got := p.hasAsked(); got != 1 {
		t.Errorf("the page has asked %d times, want once", got)
	}
}
