package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

func itoa(n int) string { return strconv.Itoa(n) }

const (
	pendings = `[...document.querySelectorAll('#messages .pending .text')].map(p => p.textContent)`
	failures = `[...document.querySelectorAll('#messages .failed .text')].map(p => p.textContent)`
	drafts   = `Object.keys(localStorage).filter(k => k.includes(' outbox '))`
	fate     = `document.querySelector('#messages .fate')?.firstChild.textContent.trim() ?? ''`
)

func port(url string) string { return url[strings.LastIndex(url, ":")+1:] }

// A message is shown immediately, sent in order, and survives a reload.
func TestTheOutbox(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	network.set(badPosts)
	want := []string{"one", "two", "three"}
	for _, text := range want {
		p.say(text)
	}
	wait(p, pendings, want)
	wait(p, fate, "sending")
	p.screenshot("pending")
	p.reload()
	wait(p, pendings, want)
	if got := stored(t, url); len(got) != 0 {
		t.Fatalf("the server has %q already", got)
	}
	network.set(healthy)
	wait(p, texts, want)
	wait(p, pendings+`.length`, 0)
	if got := stored(t, url); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
	wait(p, `document.querySelectorAll('#messages .own').length`, 3)
}

// The answer is lost, and the message arrives on the stream; or the stream is dead
// as well, and the server recognizes the repeat.
func TestALostAnswer(t *testing.T) {
	t.Parallel()
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	network.set(loseAnswers)
	p.say("once")
	wait(p, texts, []string{"once"})
	wait(p, pendings+`.length`, 0)
	network.set(healthy)
	p.say("and again")
	wait(p, texts, []string{"once", "and again"})
	wait(p, pendings+`.length`, 0)

	network.set(loseAnswers)
	network.Cut(true)
	wait(p, `(`+state+`) !== 'live'`, true)
	p.say("in the dark")
	chattest.Within(t, patience, "all three are stored", func() bool { return len(stored(t, url)) == 3 })
	network.set(healthy)
	wait(p, texts, []string{"once", "and again", "in the dark"})
	wait(p, pendings+`.length`, 0)
	if got := stored(t, url); len(got) != 3 {
		t.Errorf("the server has %q", got)
	}
}

// The answer is lost, and the message is deleted before the repeat.
func TestAMessageThatIsDeletedOnItsWay(t *testing.T) {
	t.Parallel()
	admin, url := "localhost:"+chattest.FreePort(t), "http://localhost:"+chattest.FreePort(t)
	caddytest.StartAdmin(t, admin, url, siteBlock(t, "../public", "sse_chat {\n\t\tretry 500ms\n\t}"))
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	network.set(loseAnswers)
	network.Cut(true)
	wait(p, `(`+state+`) !== 'live'`, true)
	p.say("regretted")
	chattest.Within(t, patience, "the message is stored", func() bool { return len(stored(t, url)) == 1 })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+admin+"/sse_chat/hubs/default/rooms/lobby", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("the room is not forgotten: %s", response.Status)
	}
	network.set(healthy)
	wait(p, state, "live")
	wait(p, pendings+`.length`, 0)
	p.say("better")
	wait(p, texts, []string{"better"})
	wait(p, pendings+`.length`, 0)
	if got := stored(t, url); fmt.Sprint(got) != "[better]" {
		t.Errorf("the server has %q", got)
	}
}

// A refused message is not resent automatically, and does not block others.
func TestARefusedMessage(t *testing.T) {
	url := site(t, "max_text 100")
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	long := strings.Repeat("long ", 30)
	p.say(long)
	p.say("short")
	wait(p, failures, []string{strings.TrimSpace(long)})
	wait(p, fate, "not sent: the server takes no text as long as this")
	wait(p, texts, []string{"short", strings.TrimSpace(long)})
	p.screenshot("failed")
	p.reload()
	wait(p, failures+`.length`, 1)
	asked := p.asked("POST /update")
	p.click(".failed .fate button:last-of-type")
	wait(p, failures+`.length`, 0)
	wait(p, texts, []string{"short"})
	if got := p.asked("POST /update"); got != asked {
		t.Errorf("what was refused was sent %d times again", got-asked)
	}

	network.set(forbidden)
	p.say("may I?")
	wait(p, fate, "not sent: you may not write here")
	network.set(healthy)
	p.click(".failed .fate button")
	wait(p, texts, []string{"short", "may I?"})
	wait(p, `document.querySelectorAll('#messages .fate').length`, 0)
	p.reload()
	wait(p, texts, []string{"short", "may I?"})
	if got := eval[[]string](p, drafts); len(got) != 0 {
		t.Errorf("the outbox still has %q", got)
	}
}

func TestTooFast(t *testing.T) {
	t.Parallel()
	url := site(t, "rate 3 2s")
	p := join(t, startBrowser(t), url)
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprint(i))
		p.say(want[i])
	}
	wait(p, pendings+`.length`, 0)
	wait(p, texts, want)
	if got := stored(t, url); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
}

// A server forgets nonces after ten minutes. A later repeat might be stored as a
// new message, so the reader decides about messages that the server lacks.
func TestAnOldMessageIsNotDoubled(t *testing.T) {
	url := site(t)
	chattest.At(url, http.DefaultClient).Do(t, http.MethodPost, "/update", `{"text":"has arrived","nonce":"arrived"}`, "Authorization: Author-Key "+strings.Repeat("k", 22))
	p := open(t, startBrowser(t), inEnglish(url), draftsBefore(`
		{ text: 'has arrived', nonce: 'arrived', at: 1, tried: Date.now() - 3600e3 },
		{ text: 'has perhaps', nonce: 'lost', at: 2, tried: Date.now() - 3600e3 },
		{ text: 'was never sent', nonce: 'new', at: 3 },`))
	wait(p, texts, []string{"has arrived", "was never sent", "has perhaps"})
	wait(p, failures, []string{"has perhaps"})
	wait(p, pendings+`.length`, 0)
	wait(p, fate, "not sent: it is old; the server may already have it")
	if got := p.asked("POST /update"); got != 1 {
		t.Errorf("%d messages were sent, want the one that was never tried", got)
	}
	p.screenshot("unsure")
	p.click(".failed .fate button")
	wait(p, failures+`.length`, 0)
	chattest.Within(t, patience, "all three are stored", func() bool { return len(stored(t, url)) == 3 })
}

// draftsBefore is a script that leaves drafts as an earlier page would.
func draftsBefore(list string) string {
	return `if (!localStorage.length) localStorage['sse-chat / author key'] = JSON.stringify('k'.repeat(22));
		if (localStorage.length === 1) for (const d of [` + list + `]) {
		localStorage.setItem('sse-chat / outbox ' + d.nonce, JSON.stringify({ room: 'lobby', name: '', tab: 'gone', ...d }));
	}`
}
