package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// shown is whether a problem is shown, and its text.
const shown = `document.getElementById('status').dataset.shown + ' ' + document.getElementById('status-text').textContent`

// faulty starts a server behind a network with faults, and a page.
func faulty(t *testing.T, options ...string) (*proxy, string, *tab) {
	t.Helper()
	url := site(t, append(options, "heartbeat 1s")...)
	network := newProxy(t, port(url))
	return network, url + "/update", join(t, startBrowser(t), network.url())
}

// Whatever the network does, the page recovers by itself and shows each message
// once.
func TestThePageSurvivesTheNetwork(t *testing.T) {
	t.Parallel()
	network, update, p := faulty(t)
	var want []string
	say := func(text string) {
		t.Helper()
		post(t, update, text)
		want = append(want, text)
	}
	say("calm")
	wait(p, texts, want)
	for _, trouble := range []struct {
		name string
		make func()
		end  func()
	}{
		{"a reset", func() { network.Cut(true) }, func() {}},
		{"a clean end", func() { network.Cut(false) }, func() {}},
		{"502 for a while", func() { network.set(badGateway); network.Cut(false); time.Sleep(3 * time.Second) }, func() { network.set(healthy) }},
		{"refused connections", func() { network.Disconnect(); network.Cut(true); time.Sleep(2 * time.Second) }, network.Connect},
		{"a stall", func() { network.set(stalled); time.Sleep(4 * time.Second) }, func() { network.set(healthy) }},
	} {
		trouble.make()
		say("during " + trouble.name)
		trouble.end()
		say("after " + trouble.name)
		// after failures in quick succession the page waits up to 30 s
		waitFor(p, 3*patience, texts, want)
		wait(p, state, "live")
	}
}

// A proxy that cuts everything every second is only a nuisance. Bad ones cut every
// five.
func TestThePageSurvivesCutsAllTheTime(t *testing.T) {
	t.Parallel()
	network, update, p := faulty(t)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-time.After(time.Second):
				network.Cut(true)
			case <-stop:
				return
			}
		}
	}()
	var want []string
	for i := range 40 {
		text := fmt.Sprint("message ", i)
		post(t, update, text)
		want = append(want, text)
		time.Sleep(150 * time.Millisecond)
	}
	wait(p, texts, want)
}

// The page notices a dead connection that looks open by its silence.
func TestASilentConnectionIsNoticed(t *testing.T) {
	network, update, p := faulty(t)
	network.set(stalled)
	wait(p, `(`+state+`) !== 'live'`, true)
	network.set(healthy)
	post(t, update, "again")
	wait(p, texts, []string{"again"})
}

func TestTroubleIsSaidCalmly(t *testing.T) {
	t.Parallel()
	network, _, p := faulty(t)
	wait(p, shown, "false Connected")
	network.Disconnect()
	network.Cut(true)
	wait(p, state, "waiting")
	if got := eval[string](p, shown); got != "false Connected" {
		t.Errorf("a trouble of a moment is said: %s", got)
	}
	wait(p, `document.getElementById('status').dataset.shown`, "true")
	wait(p, `/^in \d+ s$/.test(document.getElementById('status-detail').textContent) && !document.getElementById('retry').hidden`, true)
	p.screenshot("reconnecting")
	network.Connect()
	p.do(chromedp.Click(chromedp.CSS("#retry")))
	wait(p, shown, "false Connected")
}

func TestOfflineAndBack(t *testing.T) {
	network, update, p := faulty(t)
	p.offline(true)
	network.Disconnect()
	network.Cut(true)
	wait(p, shown, "true You are offline. What you write is sent later.")
	p.say("written offline")
	wait(p, `document.querySelectorAll('.pending').length`, 1)
	p.screenshot("offline")
	post(t, update, "said meanwhile")
	network.Connect()
	p.offline(false)
	wait(p, state, "live")
	wait(p, `document.querySelectorAll('.pending').length`, 0)
	wait(p, texts, []string{"said meanwhile", "written offline"})
}

// Only the page can detect a site that has a page but no chat.
func TestAServerWithoutAChat(t *testing.T) {
	free := chattest.FreePort(t)
	caddytest.Start(t, "http://localhost:"+free, siteBlock(t, "../public", "respond /history 404"))
	p := open(t, startBrowser(t), "http://localhost:"+free+"/?lang=en")
	wait(p, shown, "true There is no chat at this address: nothing answers to “subscribe”.")
	p.screenshot("absent")
}

// A server that stops admitting readers answers with a status that an EventSource
// does not expose.
func TestAServerThatSendsAway(t *testing.T) {
	t.Parallel()
	network, update, p := faulty(t)
	network.set(forbidden)
	network.Cut(true)
	wait(p, shown, "true The server does not let you in. Reload the page to log in.")
	network.set(goneForGood)
	p.click("#retry")
	wait(p, shown, "true You were removed from this chat.")
	asked := p.asked("GET /subscribe")
	time.Sleep(2 * time.Second) // there is no event to await: it must stay away
	if got := p.asked("GET /subscribe"); got != asked {
		t.Errorf("who was sent away has come back %d times", got-asked)
	}
	network.set(healthy)
	post(t, update, "welcome back")
	p.click("#retry")
	wait(p, texts, []string{"welcome back"})
	wait(p, shown, "false Connected")
}

// Messages appear even without a stream.
func TestTheFirstPaintDoesNotWaitForTheStream(t *testing.T) {
	t.Parallel()
	url := site(t)
	post(t, url+"/update", "hello")
	network := newProxy(t, port(url))
	network.set(stalledStreams)
	p := open(t, startBrowser(t), inEnglish(network.url()))
	wait(p, texts, []string{"hello"})
	wait(p, `performance.getEntriesByName('first-contentful-paint').length`, 1)
	wait(p, shown, "true Connecting…")
	p.say("and I can write")
	wait(p, texts, []string{"hello", "and I can write"})
	wait(p, pendings+`.length`, 0)
}

// A tab that returns from the background checks its connection immediately.
func TestAHiddenTabComesBack(t *testing.T) {
	network, update, p := faulty(t)
	post(t, update, "before")
	wait(p, texts, []string{"before"})
	p.hide()
	network.set(stalled)
	post(t, update, "while hidden")
	wait(p, `(`+state+`) !== 'live'`, true)
	network.Cut(true)
	network.set(healthy)
	p.show()
	wait(p, state, "live")
	wait(p, texts, []string{"before", "while hidden"})
	wait(p, fromEnd, 0)
}

// The server says when to come back.
func TestTheServerSaysGoodbye(t *testing.T) {
	network, update, p := faulty(t)
	network.inject("event: bye\ndata: {\"reason\":\"exit\",\"retry_ms\":1500}\n\n")
	network.Cut(false)
	wait(p, `(`+state+`) !== 'live'`, true)
	asked := p.asked("GET /subscribe")
	post(t, update, "meanwhile")
	wait(p, texts, []string{"meanwhile"})
	if got := p.asked("GET /subscribe"); got != asked+1 {
		t.Errorf("the page has asked %d times for a stream, want once", got-asked)
	}
}

// If retention has dropped missed messages, the page shows where.
func TestAGapIsShown(t *testing.T) {
	network, update, p := faulty(t, "retain 3")
	post(t, update, "seen")
	wait(p, texts, []string{"seen"})
	network.Disconnect()
	network.Cut(true)
	for i := range 6 {
		post(t, update, fmt.Sprint(i))
	}
	network.Connect()
	wait(p, texts, []string{"seen", "3", "4", "5"})
	wait(p, `document.querySelector('#messages .gap').closest('li').querySelector('.text').textContent`, "3")
	if got := eval[int](p, `document.querySelectorAll('.gap:not([hidden])').length`); got != 1 {
		t.Errorf("%d gaps are shown, want 1", got)
	}
	p.screenshot("gap")
}
