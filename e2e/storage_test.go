package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// withoutSiteData is a Chromium in which sites may not save data.
func withoutSiteData(t *testing.T) chromedp.ExecAllocatorOption {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	preferences := `{"profile": {"default_content_setting_values": {"cookies": 2}}}`
	if err := os.WriteFile(filepath.Join(dir, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	return chromedp.UserDataDir(dir)
}

// Without site data, locks and channels are forbidden as well. The page works
// without them.
func TestThePageWithoutSiteData(t *testing.T) {
	free := chattest.FreePort(t)
	block := siteBlock(t, "../public", "sse_chat")
	caddytest.Start(t, "http://localhost:"+free, block+"\n}\n\nhttp://chat.test:"+free+" {\n"+block)
	chromium := startBrowser(t, withoutSiteData(t), chromedp.Flag("host-resolver-rules", "MAP chat.test 127.0.0.1"))
	first, second := join(t, chromium, "http://localhost:"+free), newTab(t, chromium)
	second.visit("http://chat.test:" + free + "/?lang=en") // not a secure context
	wait(second, state, "live")
	if got := eval[string](first, `(() => { try { return String(localStorage) } catch (e) { return e.name } })()`); got != "SecurityError" {
		t.Fatalf("site data is not blocked: localStorage is %s", got)
	}
	first.say("from one")
	second.say("from another")
	for _, p := range []*tab{first, second} {
		wait(p, texts, []string{"from one", "from another"})
		wait(p, pendings+`.length`, 0)
		wait(p, `document.querySelectorAll('#messages .own').length`, 1)
		p.enterRoom("tea")
		wait(p, state, "live")
		p.back()
		wait(p, texts, []string{"from one", "from another"})
		if got := p.asked("GET /subscribe"); got > 3 {
			t.Errorf("the page has asked for %d streams", got)
		}
	}
	first.screenshot("without-site-data")
}

// Each thing that a browser may forbid can be missing, throw or reject.
func TestWhatABrowserForbids(t *testing.T) {
	url := site(t)
	chromium := startBrowser(t)
	const forbid = `
		const no = () => { throw new DOMException('forbidden', 'SecurityError') };
		const rejects = async () => no();
		const get = (on, name, get = no) => Object.defineProperty(on, name, { get, configurable: true });
		const full = () => { throw new DOMException('full', 'QuotaExceededError') };
	`
	all := []string{
		`get(globalThis, 'localStorage')`,
		`get(globalThis, 'sessionStorage')`,
		`get(globalThis, 'localStorage', () => null)`,
		`Storage.prototype.getItem = no`,
		`Storage.prototype.setItem = full`,
		`LockManager.prototype.request = rejects`,
		`LockManager.prototype.request = no`,
		`get(Navigator.prototype, 'locks')`,
		`get(Navigator.prototype, 'locks', () => undefined)`,
		`globalThis.BroadcastChannel = class { constructor() { no() } }`,
		`get(globalThis, 'BroadcastChannel')`,
		`BroadcastChannel.prototype.postMessage = no`,
		`get(globalThis, 'Notification')`,
		`get(Notification, 'permission'); Notification.requestPermission = rejects`,
		`Notification.requestPermission = no`,
		`globalThis.AudioContext = class { constructor() { no() } }`,
		`Navigator.prototype.setAppBadge = no`,
		`Navigator.prototype.setAppBadge = rejects`,
		`Performance.prototype.getEntriesByType = () => []`,
		`Crypto.prototype.randomUUID = no`,
		`History.prototype.pushState = no`,
	}
	all = append(all, "try { "+strings.Join(all, " } catch {}\ntry { ")+" } catch {}") // all at once
	var want []string
	for i, what := range all {
		p := join(t, chromium, url, forbid+what)
		text := fmt.Sprint("message ", i)
		p.say(text)
		want = append(want, text)
		wait(p, texts, want)
		wait(p, pendings+`.length`, 0)
		// requested features, too
		p.click("#notify")
		p.click("#sound")
		p.enterRoom("tea")
		wait(p, `document.getElementById('room').textContent`, "tea")
		wait(p, state, "live")
		p.end()
		if t.Failed() {
			t.Fatalf("with %s", what)
		}
	}
}

// Unexpected storage content, of an older page or another program, costs at most
// that content.
func TestWhatIsFoundInTheStorage(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	long := strings.Repeat("x", 200_000)
	for i, value := range []string{
		``, `{`, `null`, `true`, `5`, `-1e999`, `"text"`, `""`, `[]`, `{}`, `[[[[[[]]]]]]`, `[null]`, `[5]`, `["text"]`, `[{}]`,
		`[[1,2]]`, `[["lobby",5]]`, `[["lobby",{}]]`, `[["lobby","x"]]`, `[["a b",""]]`, `[["","1"]]`, `[[null,null]]`, `[["tea","1"],["tea","2"],7]`,
		`{"length":3}`, `{"toString":1}`, `{"room":5,"nonce":[]}`, `{"room":"lobby","text":{},"name":"","nonce":"x","tab":"","at":1}`,
		`{"room":"lobby","text":"x","name":"","nonce":5,"tab":"","at":"1"}`,
		`{"room":"a b","text":"x","name":"","nonce":"x","tab":"","at":1}`,
		`"` + long + `"`, `[["` + long + `",""]]`, `"\u0000\ud800"`,
		`[` + strings.TrimSuffix(strings.Repeat(`["room",""],`, 5000), ",") + `]`,
		`[` + func() (rooms string) {
			for i := range 500 {
				rooms += fmt.Sprintf(`["room-%d","1"],`, i)
			}
			return strings.TrimSuffix(rooms, ",")
		}() + `]`,
	} {
		p.js(fmt.Sprintf(`
			for (const storage of [localStorage, sessionStorage]) {
				for (const key of ['rooms', 'mine', 'mine lobby x', 'name', 'asked', 'notify', 'sound', 'notices lobby', 'sent', 'outbox', 'outbox x', 'draft lobby', 'draft room-1']) storage.setItem('sse-chat / ' + key, %q);
			}`, value))
		p.visit(inEnglish(url))
		wait(p, state, "live")
		p.js(`document.getElementById('text').value = ''`)
		text := fmt.Sprint("message ", i)
		p.say(text)
		wait(p, texts+`.at(-1)`, text)
		wait(p, pendings+`.length`, 0)
		p.js(`localStorage.clear(); sessionStorage.clear()`)
		if t.Failed() {
			t.Fatalf("with %.80s", value)
		}
	}
}

// Storage filled up by another page of the site does not stop the chat.
func TestAFullStorage(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.js(`(() => { let size = 1 << 20; for (let i = 0; size; i++) try { localStorage.setItem('other' + i, 'x'.repeat(size)) } catch { size >>= 1 } })()`)
	p.say("still sent")
	wait(p, texts, []string{"still sent"})
	wait(p, pendings+`.length`, 0)
	wait(p, `document.querySelectorAll('#messages .own').length`, 1)
	p.enterRoom("tea")
	wait(p, state, "live")
	p.say("here too")
	wait(p, texts, []string{"here too"})
	p.reload()
	wait(p, state, "live")
	p.say("and after a reload")
	wait(p, texts, []string{"here too", "and after a reload"})
}
