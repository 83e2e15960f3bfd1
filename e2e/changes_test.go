package e2e

import (
	"fmt"
	"testing"
)

const authorKey = `{ headers: { Authorization: 'Author-Key ' + 'k'.repeat(22) } }`

// author publishes with a key, and returns the id.
func (p *tab) author(text string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`fetch('update', { ...%s, method: 'POST', body: JSON.stringify({ text: '%s' }) }).then(r => r.json()).then(({ id }) => id)`, authorKey, text))
}

// change changes or deletes a message that author has published.
func (p *tab) change(method, id, body string) {
	p.t.Helper()
	script := fmt.Sprintf(`fetch('update?id=%s', { ...%s, method: '%s', body: %s }).then(r => r.status)`, id, authorKey, method, body)
	if status := eval[int](p, script); status != 200 {
		p.t.Fatalf("%s is answered %d", method, status)
	}
}

// idOf returns the id of a message that the history has.
func (p *tab) idOf(text string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`fetch('history?limit=200').then(r => r.json()).then(({ messages }) => messages.find(m => m.text === '%s').id)`, text))
}

// event is an event of a stream, for inject.
func event(name, id, data string) string {
	return fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", name, id, data)
}

// slowHistory delays the answers of the history while there is a promise to wait for.
const slowHistory = `
	const ask = fetch;
	globalThis.fetch = async (...asked) => {
		const answer = await ask(...asked);
		if (String(asked[0]).startsWith('history')) await globalThis.held;
		return answer;
	}`

// deaf loses changes and deletions on demand.
const deaf = `
	const dispatch = EventTarget.prototype.dispatchEvent;
	EventTarget.prototype.dispatchEvent = function (event) {
		return globalThis.isDeaf && /change|delete/.test(event.type) || dispatch.call(this, event);
	}`

// Messages that the server deletes disappear immediately.
func TestADeletedMessage(t *testing.T) {
	url := site(t)
	network := newProxy(t, url[len("http://localhost:"):])
	p := join(t, startBrowser(t), network.url())
	postMany(t, url+"/update", 3)
	wait(p, texts+`.length`, 3)
	id := eval[string](p, `fetch('history').then(r => r.json()).then(({ messages }) => messages[1].id)`)
	network.inject(fmt.Sprintf("event: delete\ndata: {\"id\":%q}\n\n", id))
	wait(p, texts, []string{"message 1", "message 3"})
}

// Changed messages change where they are, also for a page that was away. A forgotten room
// takes none of another.
func TestChangedMessages(t *testing.T) {
	url := site(t)
	network := newProxy(t, url[len("http://localhost:"):])
	p := join(t, startBrowser(t), network.url())
	first, second := p.author("one"), p.author("two")
	p.change("PATCH", second, `'{"append":" and"}'`)
	p.change("PATCH", second, `'{"append":" more"}'`)
	wait(p, texts, []string{"one", "two and more"})
	network.Cut(true)
	p.change("PATCH", first, `'{"text":"changed"}'`)
	p.change("DELETE", second, `null`)
	wait(p, texts, []string{"changed"})
	network.inject(fmt.Sprintf("event: delete\nid: 8888888888888\ndata: {\"through\":%q,\"room\":\"tea\"}\n\n", second))
	p.author("three")
	wait(p, texts, []string{"changed", "three"})
}

// A message that is deleted as soon as it arrives is not shown.
func TestAMessageThatIsDeletedAtOnce(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.js(`globalThis.seen = ''; new MutationObserver(() => { seen += ` + texts + ` }).observe(document.getElementById('messages'), { childList: true })`)
	network.inject(event("message", "8888888888888", `{"id":"8888888888888","text":"gone","timestamp":1}`) +
		event("delete", "8888888888888-1", `{"id":"8888888888888"}`) +
		event("message", "8888888888888-2", `{"id":"8888888888888-2","text":"next","timestamp":1}`))
	wait(p, texts, []string{"next"})
	if seen := eval[string](p, `seen`); seen != "next" {
		t.Errorf("the page has shown %q", seen)
	}
}

// Changes are applied in their order, also if one waits for the script that makes links.
func TestChangesKeepTheirOrder(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	post(t, url+"/update", "first")
	wait(p, texts, []string{"first"})
	id := p.idOf("first")
	network.inject(event("change", "8888888888888", fmt.Sprintf(`{"id":%q,"text":"see https://a.example","edited":5}`, id)) +
		event("change", "8888888888888-1", fmt.Sprintf(`{"id":%q,"append":" or http:","at":21,"edited":5}`, id)) +
		event("change", "8888888888888-2", fmt.Sprintf(`{"id":%q,"append":"//b.example","at":30,"edited":5}`, id)))
	wait(p, texts, []string{"see https://a.example or http://b.example"})
	wait(p, `document.querySelectorAll('#messages a').length`, 2)
	network.inject(event("change", "8888888888888-3", fmt.Sprintf(`{"id":%q,"text":"older","edited":4}`, id)) +
		event("message", "8888888888888-4", `{"id":"8888888888888-4","text":"next","timestamp":1}`))
	wait(p, texts, []string{"see https://a.example or http://b.example", "next"})
}

// Changes that arrive before an older page of the history are not lost.
func TestChangesDuringAFetch(t *testing.T) {
	url := site(t)
	all := postMany(t, url+"/update", 55)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url(), slowHistory)
	wait(p, texts, all[5:])
	wait(p, fromEnd, 0)
	changed, deleted := p.idOf("message 1"), p.idOf("message 2")
	p.js(`held = new Promise((resolve) => { globalThis.release = resolve }); document.getElementById('older').click()`)
	network.inject(event("change", "8888888888888", fmt.Sprintf(`{"id":%q,"text":"changed","edited":5}`, changed)) +
		event("delete", "8888888888888-1", fmt.Sprintf(`{"id":%q}`, deleted)) +
		event("message", "8888888888888-2", `{"id":"8888888888888-2","text":"next","timestamp":1}`))
	wait(p, texts+`.at(-1)`, "next")
	p.js(`release()`)
	want := append([]string{"changed"}, all[2:]...)
	wait(p, texts, append(want, "next"))
}

// What the page has missed of the messages it shows, it fetches again.
func TestMissedChanges(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url(), deaf)
	first, second, third := p.author("one"), p.author("two"), p.author("three")
	post(t, url+"/update", "four")
	wait(p, texts, []string{"one", "two", "three", "four"})

	// an append shows that one before it is missing
	p.js(`isDeaf = true`)
	p.change("PATCH", first, `'{"append":" and"}'`)
	p.change("DELETE", second, `null`)
	post(t, url+"/update", "five")
	wait(p, texts, []string{"one", "two", "three", "four", "five"})
	p.js(`isDeaf = false`)
	p.change("PATCH", first, `'{"append":" more"}'`)
	wait(p, texts, []string{"one and more", "two", "three", "four", "five"})

	// a gap may have hidden anything
	p.js(`isDeaf = true`)
	p.change("PATCH", third, `'{"text":"changed"}'`)
	post(t, url+"/update", "six")
	wait(p, texts, []string{"one and more", "two", "three", "four", "five", "six"})
	p.js(`isDeaf = false; globalThis.kept = document.querySelector('#messages li')`)
	network.inject("event: gap\ndata: {\"reason\":\"expired\",\"oldest\":\"1\"}\n\n")
	wait(p, texts, []string{"one and more", "changed", "four", "five", "six"})
	if !eval[bool](p, `kept.isConnected`) {
		t.Error("a row that is as it was has been replaced")
	}
}

// A message that the stream sends again is as it is now.
func TestAMessageThatIsSentAgain(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	post(t, url+"/update", "before")
	wait(p, texts, []string{"before"})
	network.set(stalledStreams)
	network.Cut(true)
	wait(p, `(`+state+`) !== 'live'`, true)
	p.say("mine")
	wait(p, `[...document.querySelectorAll('#messages .pending')].length + `+texts+`.length`, 2)
	id := p.idOf("mine")
	network.set(healthy)
	wait(p, state, "live")
	network.inject(fmt.Sprintf("data: {\"id\":\"8888888888888\",\"text\":\"%s\",\"timestamp\":1}\n\n", id))
	wait(p, texts, []string{"before", "mine", id})
	got := eval[string](p, `import('./rows.js').then(({ Row }) => {
		const row = new Row({ id: '5', text: 'old', timestamp: 1, edited: 2 });
		const states = [[3, 'new'], [2, 'late'], [3, 'same time']].map(([edited, text]) => {
			row.renew({ id: '5', text, timestamp: 1, edited });
			return row.item.querySelector('.text').textContent;
		});
		return states.join();
	})`)
	if got != "new,new,same time" {
		t.Errorf("a row shows %s", got)
	}
}

// A tab that leads no more may still have an old event on its way.
func TestALateEventOfAFormerLeader(t *testing.T) {
	url := site(t)
	network := newProxy(t, port(url))
	chromium := startBrowser(t)
	leader := join(t, chromium, network.url())
	p := join(t, chromium, network.url())
	post(t, url+"/update", "one")
	for _, q := range []*tab{leader, p} {
		wait(q, texts, []string{"one"})
	}
	id := p.idOf("one")
	leader.js(fmt.Sprintf(`const channel = new BroadcastChannel('sse-chat ' + location.origin + '/ stream');
		for (const [type, data] of [['change', { id: '%[1]s', text: 'late', edited: 9e12 }], ['delete', { id: '%[1]s' }], ['ping', {}]]) channel.postMessage({ kind: 'event', type, data, id: type === 'ping' ? '' : '7', after: '6', rooms: ['lobby'] });
		channel.close()`, id))
	post(t, url+"/update", "two")
	wait(p, texts, []string{"one", "two"})
	leader.js(`new BroadcastChannel('sse-chat ' + location.origin + '/ stream').postMessage({ kind: 'event', type: 'ping', data: {}, id: '', after: '7', rooms: ['lobby'] })`)
	leader.end()
	post(t, url+"/update", "three")
	wait(p, texts, []string{"one", "two", "three"})
	if p.asked("GET /subscribe?events=1&room=lobby&last_event_id=7") > 0 {
		t.Error("the tab resumes from an older event")
	}
}
