package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

const (
	logIn = `(a => a.hidden ? '' : a.textContent + ' ' + new URL(a.href).search)(document.getElementById('log-in'))`
	// Caddy's answer without a login, in place of forward_auth and the like
	toLogin      = "redir @out /login 302"
	unauthorized = "respond @out 401"
	forbids      = "respond @out 403"
	// the cookie of a login
	cookie = `document.cookie = 'session=kim; path=/'`
	logout = `document.cookie = 'session=; path=/; max-age=0'`
)

// guarded starts a site that also needs a login for requests of the matcher out.
func guarded(t *testing.T, matcher, answer string) string {
	t.Helper()
	free := chattest.FreePort(t)
	directive := "@out {\n\t\tnot header Cookie *session=kim*\n\t\t" + matcher + "\n\t}\n\troute {\n\t\t" + answer +
		"\n\t\trespond /login `<!doctype html><title>log in</title>`\n\t\tsse_chat {\n\t\t\tretry 500ms\n\t\t\theartbeat 1s\n\t\t}\n\t}"
	caddytest.Start(t, "http://localhost:"+free, siteBlock(t, "../public", directive))
	return "http://localhost:" + free
}

// If a login has expired, the page says so, and sends the messages written in the
// meantime after the next login.
func TestALoginThatExpires(t *testing.T) {
	for name, answer := range map[string]string{"a redirect": toLogin, "401": unauthorized, "a page": "respond @out `<title>log in</title>` 200"} {
		t.Run(name, func(t *testing.T) {
			url := guarded(t, "path /update /subscribe /history", answer)
			network := newProxy(t, port(url))
			p := newTab(t, startBrowser(t))
			p.unruly.Store(true) // the browser reports each refused stream
			p.visit(network.url() + "/login")
			p.js(cookie)
			p.visit(inEnglish(network.url()))
			wait(p, state, "live")
			p.say("before")
			wait(p, texts, []string{"before"})

			p.js(logout)
			p.say("meanwhile")
			wait(p, shown, "true You have to log in again.")
			wait(p, fate, "You have to log in again.")
			wait(p, logIn, "Log in ?lang=en&")
			wait(p, state, "login")
			p.screenshot("login")

			// the stream as well
			network.Cut(true)
			wait(p, state, "login")
			// immediately, or the page finds out by itself
			p.js(`setTimeout(() => { ` + cookie + `; document.getElementById('log-in').click() })`)
			wait(p, state, "live")
			wait(p, texts, []string{"before", "meanwhile"})
			wait(p, pendings+`.length`, 0)
			wait(p, shown, "false Connected")
			if got := p.hasAsked(); got != 0 {
				t.Errorf("who goes to log in was asked %d times whether to leave", got)
			}
		})
	}
}

// The stream goes on after a login has expired, but history is refused.
func TestAHistoryThatWantsALogin(t *testing.T) {
	url := guarded(t, "path /history", toLogin)
	postMany(t, url+"/update", 120)
	p := newTab(t, startBrowser(t))
	p.visit(url + "/login")
	p.js(cookie)
	p.visit(inEnglish(url))
	wait(p, state, "live")
	wait(p, texts+`.at(-1)`, "message 120")
	p.js(logout)
	// again, if the page has returned to the end in the meantime
	wait(p, `(`+toTop+`, `+shown+`)`, "true You have to log in again.")
	wait(p, logIn, "Log in ?lang=en&")
	post(t, url+"/update", "still live")
	p.js(cookie)
	p.click("#retry")
	wait(p, shown, "false Connected")
	wait(p, texts+`.at(-1)`, "still live")
}

// The page does not wait for a stream that needs a login.
func TestAStreamThatWantsALogin(t *testing.T) {
	for name, answer := range map[string]string{"a redirect": toLogin, "401": unauthorized} {
		t.Run(name, func(t *testing.T) {
			url := guarded(t, "path /update /subscribe", answer)
			p := newTab(t, startBrowser(t))
			p.unruly.Store(true)
			p.visit(inEnglish(url))
			wait(p, shown, "true You have to log in again.")
			wait(p, logIn, "Log in ?lang=en&")
			// another tab has logged in, and the page finds out by itself
			p.js(cookie)
			waitFor(p, 2*patience, state, "live")
		})
	}
}

const onlyHere = "true This room does not let you in. Log in, or ask whoever runs it."

// A room that denies access affects no other room, in all tabs.
func TestARoomThatLetsNobodyIn(t *testing.T) {
	for name, answer := range map[string]string{
		"401":        unauthorized,
		"a redirect": toLogin,
		"403":        forbids,
		"404":        "respond @out 404",
		"400":        "respond @out 400",
	} {
		t.Run(name, func(t *testing.T) {
			url := guarded(t, "query room=staff\n\t\tpath /update /subscribe /history", answer)
			chromium := startBrowser(t)
			p := newTab(t, chromium)
			p.unruly.Store(true)
			p.visit(inEnglish(url + "/?room=tea"))
			wait(p, state, "live")
			p.visit(inEnglish(url + "/?room=staff"))
			wait(p, shown, onlyHere)
			wait(p, logIn, "Log in ?lang=en&room=staff")
			wait(p, `document.querySelector('#rooms .barred')?.textContent.trim()?.split(' ')[0] ?? ''`, "staff")
			p.screenshot("barred-" + name)

			// the others go on, even in another tab and after a reload
			q := newTab(t, chromium)
			q.unruly.Store(true)
			q.visit(inEnglish(url + "/?room=tea"))
			for i, again := range []func(){func() {}, q.reload} {
				again()
				wait(q, state, "live")
				text := fmt.Sprint("tea ", i)
				post(t, url+"/update?room=tea", text)
				wait(q, texts+`.at(-1)`, text)
				q.say("mine " + text)
				wait(q, texts+`.at(-1)`, "mine "+text)
				wait(q, pendings+`.length`, 0)
			}
			wait(q, shown, "false Connected")

			// after a login, a click on it retries
			q.js(cookie)
			q.js(`[...document.querySelectorAll('#rooms a')].find(a => a.textContent.startsWith('staff')).click()`)
			wait(q, state, "live")
			wait(q, `document.querySelectorAll('#rooms .barred').length`, 0)
			q.say("at last")
			wait(q, texts, []string{"at last"})
			// the same in the tab that stayed there
			wait(p, texts, []string{"at last"})
			wait(p, state, "live")
		})
	}
}

// The stream tells of a message that is sent after a login before its answer comes.
func TestTheAnswerAfterALoginIsLate(t *testing.T) {
	t.Parallel()
	url := guarded(t, "path /update", toLogin)
	network := newProxy(t, port(url))
	p := newTab(t, startBrowser(t))
	p.visit(inEnglish(network.url()))
	wait(p, state, "live")
	p.say("meanwhile")
	wait(p, shown, "true You have to log in again.")
	network.set(slowAnswers)
	p.js(cookie)
	p.click("#retry")
	wait(p, texts, []string{"meanwhile"})
	wait(p, shown, "false Connected")
}

// Who comes back from a login need not be in the room where the messages wait.
func TestAfterALoginAllRoomsAreSent(t *testing.T) {
	t.Parallel()
	url := guarded(t, "path /update", unauthorized)
	p := newTab(t, startBrowser(t))
	p.unruly.Store(true)
	p.visit(inEnglish(url))
	wait(p, state, "live")
	p.say("meanwhile")
	wait(p, shown, "true You have to log in again.")
	p.enterRoom("tea")
	wait(p, state, "live")
	time.Sleep(time.Second) // it tries again, without a login
	p.js(cookie)
	p.js(`document.dispatchEvent(new Event('visibilitychange'))`)
	chattest.Within(t, patience, "it is sent", func() bool { return len(stored(t, url)) == 1 })
}
