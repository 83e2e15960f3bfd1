package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/push"
)

// pushing is a site that pushes to a service on this machine.
type pushing struct {
	*caddytest.Sites

	url, storage string
	service      *pushtest.Service
}

func pushSite(t *testing.T, options ...string) *pushing {
	t.Helper()
	s := &pushing{storage: t.TempDir(), service: pushtest.Start(t)}
	t.Cleanup(hub.SettleIn(0))
	t.Cleanup(push.Allow(s.service.Roots, nil, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")))
	s.service.Contact = "mailto:ops@example.com"
	options = append(options, "retry 500ms", "push "+s.service.Contact)
	s.Sites = caddytest.ServeSites(t, fmt.Sprintf("storage file_system %q\n", s.storage),
		siteBlock(t, "../public", "sse_chat {\n"+strings.Join(options, "\n")+"\n}"))
	s.url = s.Sites.Sites[0].URL
	var answer struct{ Key string }
	s.Sites.Sites[0].Do(t, http.MethodGet, "/push", "").Decode(t, &answer)
	s.service.Key = answer.Key
	return s
}

// subscriptions returns what is stored of each subscription.
func (s *pushing) subscriptions(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.storage, "sse_chat/push/default/subscriptions/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(content))
	}
	return all
}

// pushable returns a tab whose page may notify, and gets this subscription: a real one
// comes only from a service of the browser's maker. All else is as in any browser.
func pushable(t *testing.T, chromium context.Context, subscription string) *tab {
	t.Helper()
	p := newTab(t, chromium)
	for _, descriptor := range []*browser.PermissionDescriptor{{Name: "notifications"}, {Name: "push", UserVisibleOnly: true}} {
		call(p, browser.SetPermission, browser.SetPermissionParams{Permission: descriptor, Setting: browser.PermissionSettingGranted})
	}
	p.before(fmt.Sprintf(`{
		const value = %s;
		const subscription = { endpoint: value.endpoint, toJSON: () => value, unsubscribe: async () => localStorage.removeItem('subscribed') };
		PushManager.prototype.getSubscription = async () => localStorage.getItem('subscribed') && subscription;
		PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey: key }) => {
			if (!userVisibleOnly) throw new Error('silent pushes are not allowed');
			localStorage.setItem('subscribed', key);
			return subscription;
		};
	}`, subscription))
	return p
}

// deliverer waits for the page's service worker, and returns what hands it a push.
func (p *tab) deliverer() func(payload map[string]string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	var id serviceworker.RegistrationID
	updates := chromedp.Events(ctx, serviceworker.WorkerRegistrationUpdated)
	call(p, serviceworker.Enable, struct{}{})
	for update, err := range updates {
		if err != nil {
			p.t.Fatalf("there is no service worker: %v", err)
		}
		for _, registration := range update.Registrations {
			if !registration.IsDeleted {
				id = registration.RegistrationID
			}
		}
		if id != "" {
			break
		}
	}
	return func(payload map[string]string) {
		p.t.Helper()
		data, err := json.Marshal(payload)
		if err != nil {
			p.t.Fatal(err)
		}
		call(p, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: p.origin, RegistrationID: id, Data: string(data)})
	}
}

// leave goes from the page to another one of its site, and waits until the stream has ended.
func leave(p *tab, s *pushing) {
	p.t.Helper()
	p.visit(p.origin + "/icon.svg")
	chattest.Within(p.t, patience, "the stream has ended", func() bool { return s.Admin.Hub(p.t, "default").Subscribers == 0 })
}

// inWorker evaluates an expression in the service worker, which ends afterwards.
func inWorker[T any](p *tab, expression string) T {
	p.t.Helper()
	call(p, serviceworker.StartWorker, serviceworker.StartWorkerParams{ScopeURL: p.origin + "/"})
	var id target.ID
	chattest.Within(p.t, patience, "the service worker runs", func() bool {
		targets, err := chromedp.Targets(p.ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, info := range targets {
			if info.Type == "service_worker" {
				id = info.TargetID
			}
		}
		return id != ""
	})
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	ctx, end := chromedp.NewContext(ctx, chromedp.WithTargetID(id))
	defer end()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

const (
	notifications = `navigator.serviceWorker.getRegistration().then((it) => it.getNotifications()).then((all) => all.map((it) => it.title + ': ' + it.body))`
	clickNewest   = `registration.getNotifications().then((all) => dispatchEvent(new NotificationEvent('notificationclick', { notification: all.at(-1) })))`
)

// Who has left the page is reached: from the click on the checkbox to the click on the
// notification.
func TestPushesWhileThePageIsClosed(t *testing.T) {
	s := pushSite(t)
	url := s.url
	device := s.service.Subscribe()
	p := pushable(t, startBrowser(t), device.JSON())
	p.visit(inEnglish(url))
	wait(p, state, "live")
	p.enterRoom("tea")
	wait(p, state, "live")
	if got := p.asked("GET /push"); got != 0 {
		t.Errorf("the page asked about pushes %d times before the reader did", got)
	}
	p.click("#notify")
	waitFor(p, patience, `localStorage.getItem('sse-chat / push') !== null`, true)
	wait(p, `localStorage.getItem('subscribed')`, s.service.Key)
	deliver := p.deliverer()

	// a page that is there is told by its stream
	p.hide()
	postAll(t, url+"/update?room=tea", message{Text: "here", Name: "kim"})
	wait(p, texts+`.at(-1)`, "here")
	p.show()

	leave(p, s)
	postAll(t, url+"/update?room=tea", message{Text: "are you there?", Name: "kim"})
	deliver(device.Wait(t, 1).Payload)
	wait(p, notifications, []string{"kim · tea: are you there?"})
	opened := inWorker[string](p, `new Promise((resolve) => { clients.openWindow = async (url) => resolve(url); `+clickNewest+` })`)
	if want := "./?room=tea#" + device.Got()[0].Payload["id"]; opened != want {
		t.Errorf("the click opens %q, want %q", opened, want)
	}
	wait(p, notifications, []string{})

	// one notification for a room, and the click goes to the message in the open page
	p.visit(inEnglish(url))
	wait(p, state, "live")
	wait(p, `document.getElementById('room').textContent`, "Lobby")
	deliver(map[string]string{"room": "tea", "id": "1", "text": "old"})
	wait(p, notifications, []string{"someone · tea: old"})
	last := device.Got()[0].Payload
	deliver(last)
	wait(p, notifications, []string{"kim · tea: are you there?"})
	wait(p, `performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/push.js'))`, true)
	inWorker[chromedp.Void](p, clickNewest)
	wait(p, `document.querySelector('#messages .marked .text')?.textContent ?? ''`, "are you there?")

	// what is before the reader's eyes needs no notification
	deliver(last)
	deliver(map[string]string{"room": "lobby", "id": "1", "text": "elsewhere"})
	wait(p, notifications, []string{"someone · Lobby: elsewhere"})

	// the icon of an installed page counts them, and the worker stands in no request's way
	badge := inWorker[int](p, `new Promise((resolve) => {
		navigator.setAppBadge = async (count) => resolve(count);
		dispatchEvent(new PushEvent('push', { data: JSON.stringify({ room: 'coffee', id: '1', text: 'x' }) }));
	})`)
	if badge != 2 {
		t.Errorf("the badge is %d, want 2", badge)
	}
	p.reload()
	wait(p, state, "live")
	wait(p, `performance.getEntriesByType('navigation')[0].workerStart`, 0)

	// off is off
	p.click("#notify")
	wait(p, `localStorage.getItem('subscribed')`, any(nil))
	chattest.Within(t, patience, "the server has forgotten it", func() bool { return len(s.subscriptions(t)) == 0 })
}

// Who wants mentions only is pushed no others, in their own language.
func TestPushesMentionsOnly(t *testing.T) {
	s := pushSite(t)
	url := s.url
	device := s.service.Subscribe()
	p := pushable(t, startBrowser(t), device.JSON())
	p.before(`localStorage.setItem('sse-chat / name', '"김철수"'); localStorage.setItem('sse-chat / notices lobby', '"mentions"')`)
	p.visit(url + "/?lang=ko")
	wait(p, state, "live")
	p.click("#notify")
	wait(p, `localStorage.getItem('sse-chat / push') !== null`, true)
	deliver := p.deliverer()
	leave(p, s)
	for _, text := range []string{"anybody?", "@김철수민 안녕", "@김철수님 안녕"} {
		postAll(t, url+"/update", message{Text: text})
	}
	deliver(device.Wait(t, 1).Payload)
	wait(p, notifications, []string{"이름 없음 · 로비: @김철수님 안녕"})

	// another room is told of as a whole
	p.visit(url + "/?lang=ko&room=tea")
	wait(p, state, "live")
	wait(p, `JSON.parse(localStorage.getItem('sse-chat / push'))[0].startsWith('room=tea&room=lobby&mentions=lobby&name=')`, true)
	leave(p, s)
	postAll(t, url+"/update?room=tea", message{Text: "tea?"})
	if got := device.Wait(t, 2).Payload["room"]; got != "tea" {
		t.Errorf("the room is %q", got)
	}
}

// With a login, the subscription is that of its name, on a device that sends no key.
func TestPushesToALogin(t *testing.T) {
	s := pushSite(t, "name kim")
	url := s.url
	device := s.service.Subscribe()
	p := pushable(t, startBrowser(t), device.JSON())
	p.visit(inEnglish(url))
	wait(p, state, "live")
	p.click("#notify")
	wait(p, `localStorage.getItem('sse-chat / push') !== null`, true)
	if got := s.subscriptions(t); len(got) != 1 || !strings.Contains(got[0], `"owner":"name:kim"`) {
		t.Errorf("the subscriptions are %q, want one of kim", got)
	}
}

// On Android a page may not make a notification itself.
func TestNotificationsOfTheWorker(t *testing.T) {
	s := pushSite(t)
	p := pushable(t, startBrowser(t), s.service.Subscribe().JSON())
	p.before(`globalThis.Notification = class {
		static permission = 'granted';
		constructor() { throw new TypeError('Illegal constructor') }
	}`)
	p.visit(inEnglish(s.url))
	wait(p, state, "live")
	p.click("#notify")
	wait(p, `localStorage.getItem('sse-chat / push') !== null`, true)
	p.hide()
	postAll(t, s.url+"/update", message{Text: "hello", Name: "kim"})
	wait(p, notifications, []string{"kim · Lobby: hello"})
}

// iOS has notifications for installed pages only, and the page says so.
func TestNotificationsOfIOS(t *testing.T) {
	p := newTab(t, startBrowser(t))
	p.before(`delete globalThis.Notification; navigator.standalone = false`)
	p.visit(inEnglish(site(t)))
	wait(p, state, "live")
	p.js(`document.getElementById('menu').showPopover()`)
	wait(p, `document.getElementById('blocked').checkVisibility() && document.getElementById('blocked').textContent`, "To be notified here, add this page to the Home Screen and open it from there.")
	if eval[bool](p, `document.getElementById('notify').checkVisibility()`) {
		t.Error("the checkbox is shown")
	}
}
