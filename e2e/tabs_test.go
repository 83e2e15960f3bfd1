package e2e

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// Over HTTP/1.1 a browser has six connections to a site. Ten tabs share one
// stream, and each can still send.
func TestTenTabsOverHTTP1(t *testing.T) {
	t.Parallel()
	url := site(t)
	network := newProxy(t, port(url))
	chromium := startBrowser(t)
	var tabs []*tab
	for range 10 {
		tabs = append(tabs, open(t, chromium, inEnglish(network.url())))
	}
	for _, p := range tabs {
		wait(p, state, "live")
	}
	var want []string
	for i, p := range tabs {
		want = append(want, fmt.Sprint("from tab ", i))
		p.say(want[i])
		for _, q := range tabs {
			wait(q, texts, want)
		}
	}
	if got := network.streams(); got != 1 {
		t.Errorf("%d streams are open, want 1", got)
	}
	// messages written in another tab are one's own here too
	wait(tabs[0], `document.querySelectorAll('#messages .own').length`, 10)

	// a follower that enters a new room gets its messages
	tabs[7].enterRoom("tea")
	wait(tabs[7], `document.title`, "tea")
	wait(tabs[7], state, "live")
	post(t, url+"/update?room=tea", "in the tea room")
	wait(tabs[7], texts, []string{"in the tea room"})
	if got := network.streams(); got != 1 {
		t.Errorf("%d streams are open, want 1", got)
	}
	// all tabs tell of trouble, and any of them can retry
	network.Disconnect()
	network.Cut(true)
	for _, p := range tabs {
		wait(p, `document.getElementById('status').dataset.shown`, "true")
	}
	network.Connect()
	// from the script, because the tabs may be quicker, and then it is gone
	tabs[9].js(`document.getElementById('retry').click()`)
	for _, p := range tabs {
		wait(p, state, "live")
	}
}

// If the tab with the stream is closed, frozen or left, another one resumes.
func TestAnotherTabTakesOver(t *testing.T) {
	t.Parallel()
	url := site(t, "heartbeat 1s")
	network := newProxy(t, port(url))
	chromium := startBrowser(t)
	first, second, third := join(t, chromium, network.url()), join(t, chromium, network.url()), join(t, chromium, network.url())
	var want []string
	say := func(text string) {
		post(t, url+"/update", text)
		want = append(want, text)
	}
	say("one")
	for _, p := range []*tab{first, second, third} {
		wait(p, texts, want)
	}
	first.end()
	say("when the first was closed")
	for _, p := range []*tab{second, third} {
		wait(p, texts, want)
	}
	say("after it")
	for _, p := range []*tab{second, third} {
		wait(p, texts, want)
	}
	chattest.Within(t, patience, "only one stream is open", func() bool { return network.streams() == 1 })

	// now the second or the third leads: freeze each in turn
	for i, frozen := range []*tab{second, third} {
		awake := []*tab{third, second}[i]
		frozen.freeze()
		say(fmt.Sprint("while a tab is frozen ", i))
		waitFor(awake, 2*patience, texts, want)
		frozen.thaw()
		wait(frozen, texts, want)
	}

	// back and forward
	second.visit("about:blank")
	say("while the second is away")
	wait(third, texts, want)
	second.back()
	wait(second, texts, want)
	say("when it is back")
	for _, p := range []*tab{second, third} {
		wait(p, texts, want)
	}
}

// HTTP/2 has no such limit; each tab has its own stream.
func TestTabsOverHTTP2(t *testing.T) {
	free := chattest.FreePort(t)
	url := "https://localhost:" + free
	caddytest.Start(t, url, siteBlock(t, "../public", "sse_chat"))
	chromium := startBrowser(t, chromedp.IgnoreCertErrors)
	first, second := open(t, chromium, url+"/?lang=en"), open(t, chromium, url+"/?lang=en")
	for _, p := range []*tab{first, second} {
		wait(p, state, "live")
		if got := eval[string](p, `performance.getEntriesByType('navigation')[0].nextHopProtocol`); got != "h2" && got != "h3" {
			t.Fatalf("the protocol is %s", got)
		}
		if got := p.asked("GET /subscribe"); got != 1 {
			t.Errorf("a tab has asked for %d streams, want 1", got)
		}
	}
	first.say("hello")
	wait(second, texts, []string{"hello"})
}

// A page in the back-forward cache has no connection, and a page that was frozen
// checks its connection.
func TestBackAndForthAndFrozen(t *testing.T) {
	t.Parallel()
	url := site(t, "heartbeat 1s")
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.js(`globalThis.kept = true`)
	p.visit("about:blank")
	chattest.Within(t, patience, "the stream has ended", func() bool { return network.streams() == 0 })
	post(t, url+"/update", "while away")
	p.back()
	wait(p, texts, []string{"while away"})
	wait(p, state, "live")
	t.Logf("the browser has kept the page: %v", eval[bool](p, `globalThis.kept ?? false`))

	p.freeze()
	network.set(stalled)
	post(t, url+"/update", "while frozen")
	time.Sleep(3 * time.Second) // longer than a dead connection is trusted
	network.Cut(true)
	network.set(healthy)
	p.thaw()
	wait(p, texts, []string{"while away", "while frozen"})
	wait(p, state, "live")
}

// Chats that share a stream get what they would get alone.
func TestTabsWithDifferentRooms(t *testing.T) {
	t.Parallel()
	for scenario, what := range map[string]string{
		"rooms":  "each gets its own rooms only",
		"change": "nothing is lost if the new leader reads other rooms at first",
		"last":   "the last messages come, of a room that the leader did not read",
		"many":   "tabs with more rooms than a stream may have get the messages of all",
		"early":  "the last messages come if the leader connects later",
	} {
		t.Run(scenario, func(t *testing.T) { t.Parallel(); inTabs(t, scenario, what) })
	}
}

// inTabs runs a scenario of tabs.mjs.
func inTabs(t *testing.T, scenario, what string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "node", "tabs.mjs", scenario, site(t)).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", what, err, out)
	}
}

// A tab that goes does not tell the others that their chats are closed.
func TestATabThatLeadsIsClosed(t *testing.T) {
	t.Parallel()
	inTabs(t, "closing", "the others stay open")
}

// The lock may be granted while a tab closes.
func TestAClosedTabDoesNotLead(t *testing.T) {
	t.Parallel()
	inTabs(t, "granting", "a closed chat has no stream")
}

// What a tab holds until it has caught up is limited; the server has it.
func TestATabThatCannotCatchUp(t *testing.T) {
	t.Parallel()
	inTabs(t, "holding", "it holds the newest only")
}
