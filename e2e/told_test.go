package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

const detail = `document.getElementById('status-detail').textContent`

// moderated starts a site and returns what deletes something with its admin API.
func moderated(t *testing.T) (url string, remove func(what string)) {
	t.Helper()
	admin, url := "localhost:"+chattest.FreePort(t), "http://localhost:"+chattest.FreePort(t)
	caddytest.StartAdmin(t, admin, url, siteBlock(t, "../public", "sse_chat {\n\t\tretry 500ms\n\t}"))
	return url, func(what string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+admin+"/sse_chat/hubs/default/"+what, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode >= 300 {
			t.Fatalf("DELETE %s: %s", what, response.Status)
		}
	}
}

// The page says how long the server wants it to wait.
func TestTooFastIsTold(t *testing.T) {
	t.Parallel()
	p := join(t, startBrowser(t), site(t, "rate 1 8s"))
	p.say("one")
	wait(p, pendings+`.length`, 0)
	p.say("two")
	wait(p, `/^waiting [3-8] s$/.test(`+fate+`)`, true)
	p.screenshot("too-fast")
	added := `globalThis.added = 0; new MutationObserver((list) => { for (const { addedNodes } of list) for (const { nodeType } of addedNodes) added += nodeType === 1 }).observe(document.querySelector('.pending'), { childList: true, subtree: true })`
	p.js(added)
	wait(p, fate, "waiting 2 s")
	if got := eval[int](p, `added`); got > 0 {
		t.Errorf("the seconds are read out: %d elements were added", got)
	}
	wait(p, texts, []string{"one", "two"})
	wait(p, pendings+`.length`, 0)
}

// A hub that is full is no network in trouble.
func TestAFullHub(t *testing.T) {
	t.Parallel()
	url := site(t, "max_subscribers 1")
	first := join(t, startBrowser(t), url)
	network := newProxy(t, port(url))
	p := open(t, startBrowser(t), inEnglish(network.url()))
	full := func() {
		t.Helper()
		wait(p, shown, "true The chat is full or busy.")
		wait(p, `/^trying again at \d?\d:\d\d/.test(`+detail+`)`, true)
	}
	full()
	p.screenshot("full")
	first.end()
	network.set(busy)
	p.click("#retry")
	full()
	asked := p.asked("GET /subscribe")
	p.js(`dispatchEvent(new Event('focus'))`)
	network.set(healthy)
	p.say("still sent")
	wait(p, texts, []string{"still sent"})
	if got := p.asked("GET /subscribe"); got != asked {
		t.Errorf("the page has come back %d times before it was time", got-asked)
	}
	p.click("#retry")
	wait(p, state, "live")
	wait(p, shown, "false Connected")
}

// Who is kicked cannot write, nor come back under another name.
func TestWhoIsKicked(t *testing.T) {
	t.Parallel()
	url, remove := moderated(t)
	p := join(t, startBrowser(t), url)
	p.js(`document.getElementById('ask-name').focus()`)
	p.do(write("kim"), press(enter))
	wait(p, here, "1 here; kim (you)")
	remove("subscribers?name=kim")
	wait(p, shown, "true You were removed from this chat.")
	wait(p, `(f => [f.disabled, f.placeholder, document.getElementById('send').disabled].join())(document.getElementById('text'))`, "true,You were removed from this chat.,true")
	p.screenshot("kicked")
	p.axe("kicked")
	asked := p.asked("GET /subscribe")
	p.js(`document.getElementById('name').focus(); document.getElementById('name').select()`)
	p.do(write("lee"), press(enter))
	wait(p, `document.getElementById('name').value`, "lee")
	p.enterRoom("tea")
	wait(p, state, "removed")
	wait(p, `document.getElementById('text').disabled`, true)
	p.click("#retry")
	chattest.Within(t, patience, "it asks again", func() bool { return p.asked("GET /subscribe") > asked })
	wait(p, shown, "true You were removed from this chat.")
	if p.asked("GET /subscribe?events=1&room=lobby&room=tea&name=lee") > 0 || p.asked("GET /subscribe?events=1&room=lobby&name=lee") > 0 {
		t.Error("it has come back under another name")
	}
}

// The messages of a forgotten room vanish, also those that are not loaded.
func TestAForgottenRoom(t *testing.T) {
	t.Parallel()
	url, remove := moderated(t)
	postMany(t, url+"/update", 70)
	p := join(t, startBrowser(t), url)
	wait(p, texts+`.length`, 50)
	remove("rooms/lobby")
	wait(p, texts, []string{})
	wait(p, `document.getElementById('empty').checkVisibility()`, true)
	post(t, url+"/update", "a new beginning")
	wait(p, texts, []string{"a new beginning"})
}

// What the server will always refuse comes back to be edited.
func TestARefusedMessageIsEdited(t *testing.T) {
	url := site(t, "max_text 40")
	p := join(t, startBrowser(t), url)
	long := strings.Repeat("too long ", 5) + "안녕"
	p.say(long)
	wait(p, failures, []string{long})
	wait(p, `[...document.querySelectorAll('.failed button')].map(b => b.textContent)`, []string{"Edit", "Discard"})
	p.screenshot("edit")
	p.reload()
	wait(p, failures, []string{long})
	p.js(`document.getElementById('text').focus()`)
	p.do(write("later"))
	p.click(".failed .fate button")
	wait(p, failures+`.length`, 0)
	wait(p, field, long+"\nlater")
	wait(p, `document.activeElement.id`, "text")
	// now the limit is known
	wait(p, counter, fmt.Sprint(len(long)-40-4+6, " characters too many"))
	p.js(`document.getElementById('text').select()`)
	p.do(write("short"), press(enter))
	wait(p, texts, []string{"short"})
	wait(p, pendings+`.length`, 0)
}
