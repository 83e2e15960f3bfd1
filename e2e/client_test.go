package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// node is the client of public/sse-chat.js in Node, without a page.
type node struct {
	t     *testing.T
	stdin io.WriteCloser

	mu     sync.Mutex
	events []nodeEvent
}

// nodeEvent is an event of the client, or the answer to a call.
type nodeEvent struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// inNode starts a client with options in JSON, and listens for named events too.
func inNode(t *testing.T, options string, named ...string) *node {
	t.Helper()
	return inNodeOf(t, ".", options, named...)
}

// inNodeOf starts the client of another folder.
func inNodeOf(t *testing.T, folder, options string, named ...string) *node {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"client.mjs", options}, named...)...)
	cmd.Dir = folder
	n := &node{t: t}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	var err error
	if n.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var e nodeEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Errorf("%v in %s", err, lines.Bytes())
			}
			n.mu.Lock()
			n.events = append(n.events, e)
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		n.stdin.Close()
		<-read
		// a client that is closed leaves nothing that keeps Node running
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Errorf("node: %v\n%s", err, &stderr)
		}
	})
	return n
}

func (n *node) call(method string, args ...any) {
	n.t.Helper()
	if args == nil {
		args = []any{}
	}
	line, _ := json.Marshal(map[string]any{"call": method, "args": args})
	if _, err := n.stdin.Write(append(line, '\n')); err != nil {
		n.t.Fatal(err)
	}
}

// all returns the data of all events of a type.
func (n *node) all(kind string) (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if e.Type == kind {
			list = append(list, string(e.Data))
		}
	}
	return list
}

// texts returns the texts of the messages that were emitted.
func (n *node) texts() (texts []string) {
	for _, data := range n.all("message") {
		var m message
		_ = json.Unmarshal([]byte(data), &m)
		texts = append(texts, m.Text)
	}
	return texts
}

// becomes waits until the newest event of a type has some data.
func (n *node) becomes(kind, want string) {
	n.t.Helper()
	var got []string
	defer func() {
		if n.t.Failed() {
			n.t.Logf("%s: %q", kind, got)
		}
	}()
	chattest.Within(n.t, patience, kind+" becomes "+want, func() bool {
		got = n.all(kind)
		return len(got) > 0 && got[len(got)-1] == want
	})
}

// receives waits until exactly these messages were emitted.
func (n *node) receives(want []string) {
	n.t.Helper()
	chattest.Within(n.t, patience, fmt.Sprint("it receives ", len(want), " messages"), func() bool { return len(n.texts()) >= len(want) })
	if got := n.texts(); !slices.Equal(got, want) {
		n.t.Fatalf("it has received %q, want %q", got, want)
	}
}

// holds waits until the list of messages has these texts.
func (n *node) holds(want ...string) {
	n.t.Helper()
	wanted, _ := json.Marshal(want)
	var got []string
	chattest.Within(n.t, patience, fmt.Sprintf("it holds %s, not %q", wanted, got), func() bool {
		n.call("messages")
		time.Sleep(50 * time.Millisecond)
		got = n.all("messages")
		return len(got) > 0 && got[len(got)-1] == string(wanted)
	})
}

// at is the options of a client behind a network.
func at(network *proxy, more string) string {
	return fmt.Sprintf(`{"url": "%s/", "keep": 20, "last": 20%s}`, network.url(), more)
}

// Whatever happens to the network or the server, the client recovers by itself and emits
// each message once, in order.
func TestTheClientEmitsEachMessageOnce(t *testing.T) {
	t.Parallel()
	admin, free := "localhost:"+chattest.FreePort(t), chattest.FreePort(t)
	url := "http://localhost:" + free
	block := siteBlock(t, "../public", fmt.Sprintf("sse_chat {\n\tretry 500ms\n\theartbeat 1s\n\tpark off\n\tstore bolt %q\n}", filepath.Join(t.TempDir(), "chat.db")))
	caddy := caddytest.StartAdmin(t, admin, url, block)
	network := newProxy(t, free)
	var want []string
	say := func(text string) {
		t.Helper()
		body := fmt.Sprintf(`{"text":%q,"nonce":"n%d"}`, text, len(want))
		chattest.Within(t, patience, "the server takes "+text, func() bool { // not while it is replaced
			response, err := http.Post(url+"/update", "application/json", strings.NewReader(body))
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
		want = append(want, text)
	}
	say("kept from before")
	n := inNode(t, at(network, ""))
	n.becomes("statechange", `"live"`)
	restart := func() { caddy = caddytest.StartAdmin(t, admin, url, block) }
	nothing := func() {}
	for _, trouble := range []struct {
		name       string
		make, mend func()
	}{
		{"a clean end", func() { network.Cut(false) }, nothing},
		{"a reset", func() { network.Cut(true) }, nothing},
		{"refused connections", func() { network.Disconnect(); network.Cut(true); n.becomes("statechange", `"waiting"`) }, network.Connect},
		{"502", func() { network.set(badGateway); network.Cut(false); n.becomes("statechange", `"waiting"`) }, func() { network.set(healthy) }},
		{"silence", func() { network.set(stalled); n.becomes("statechange", `"waiting"`) }, func() { network.set(healthy) }},
		{"a reload", func() { caddy.Load(t, url+" {\n"+block+"\n\theader X-Reloaded 1\n}") }, nothing},
	} {
		trouble.make()
		say("during " + trouble.name)
		trouble.mend()
		n.call("retry") // it would come by itself, later
		say("after " + trouble.name)
		n.receives(want)
	}
	caddy.Terminate(t)
	n.becomes("statechange", `"waiting"`)
	restart()
	say("after a restart")
	n.call("retry")
	n.receives(want)
	caddy.Kill(t)
	restart()
	say("after a kill")
	n.call("retry")
	n.receives(want)
	n.holds(want...)
	if gaps := n.all("gap"); len(gaps) > 0 {
		t.Errorf("there are gaps: %q", gaps)
	}
}

// A status that means to stay away is respected, until the client is told to try again.
func TestTheClientStaysAway(t *testing.T) {
	t.Parallel()
	url := site(t)
	network := newProxy(t, port(url))
	n := inNode(t, at(network, ""))
	n.becomes("statechange", `"live"`)
	network.set(forbidden)
	network.Cut(true)
	n.becomes("statechange", `"refused"`)
	n.call("send", map[string]string{"text": "may I?"})
	n.becomes("error", `{"code":"refused","status":403,"message":"status 403"}`)
	network.set(goneForGood)
	n.call("retry")
	n.becomes("statechange", `"removed"`)
	network.set(healthy)
	post(t, url+"/update", "welcome back")
	n.call("online")                    // which wakes others
	time.Sleep(1500 * time.Millisecond) // there is no event to await: it must stay away
	n.becomes("statechange", `"removed"`)
	n.call("retry")
	n.becomes("statechange", `"live"`)
	n.receives([]string{"welcome back"})
}

// After a gap the list is as the server has it, before the gap is told.
func TestAGapInTheClient(t *testing.T) {
	t.Parallel()
	url := site(t, "retain 3")
	network := newProxy(t, port(url))
	n := inNode(t, at(network, ""))
	n.becomes("statechange", `"live"`)
	want := postMany(t, url+"/update", 2)
	n.receives(want)
	network.Disconnect()
	network.Cut(true)
	n.becomes("statechange", `"waiting"`)
	all := postMany(t, url+"/update", 8)
	network.Connect()
	n.call("retry")
	n.receives(append(want, all[5:]...))
	n.holds(all[5:]...)
	if gaps := n.all("gap"); len(gaps) != 1 || !strings.Contains(gaps[0], `"expired"`) {
		t.Errorf("the gaps are %q", gaps)
	}
}

// Changes are applied to the list, also those that were missed.
func TestChangesInTheClient(t *testing.T) {
	t.Parallel()
	url := site(t)
	network := newProxy(t, port(url))
	n := inNode(t, at(network, `, "authorKey": "kkkkkkkkkkkkkkkkkkkkkk", "name": "kim"`))
	n.becomes("statechange", `"live"`)
	for _, text := range []string{"one", "two", "three"} {
		n.call("send", map[string]string{"text": text})
	}
	n.receives([]string{"one", "two", "three"})
	ids := make([]string, 3)
	for i, data := range n.all("message") {
		var m struct{ ID, Name string }
		if err := json.Unmarshal([]byte(data), &m); err != nil || m.Name != "kim" {
			t.Fatalf("%v in %s", err, data)
		}
		ids[i] = m.ID
	}
	n.call("change", ids[0], map[string]string{"append": " and"})
	n.call("change", ids[0], map[string]string{"append": " more"})
	n.holds("one and more", "two", "three")
	n.call("change", ids[1], map[string]string{"react": "👍"})
	chattest.Within(t, patience, "the reaction comes", func() bool { return strings.Contains(strings.Join(n.all("change"), ""), "👍") })

	// while it is away, and the answer to its own change is lost
	network.set(stalledStreams)
	network.Cut(true)
	n.becomes("statechange", `"connecting"`)
	network.set(loseAnswers)
	n.call("change", ids[1], map[string]string{"append": " once"})
	n.call("remove", ids[2])
	chattest.Within(t, patience, "the change has arrived", func() bool { return stored(t, url)[1] == "two once" })
	network.set(healthy)
	n.call("retry")
	n.holds("one and more", "two once")
	chattest.Within(t, patience, "both are answered", func() bool { return len(n.all("remove")) == 1 && len(n.all("change")) >= 4 })
	if errors := n.all("error"); len(errors) > 0 {
		t.Errorf("there are errors: %q", errors)
	}
}

// What is sent is repeated until it is stored, once and in order.
func TestTheClientSendsUntilItIsStored(t *testing.T) {
	t.Parallel()
	url := site(t, "rate 6 2s", "max_text 100")
	network := newProxy(t, port(url))
	n := inNode(t, at(network, ""))
	n.becomes("statechange", `"live"`)
	var want []string
	for i, trouble := range []fault{badPosts, loseAnswers, healthy} {
		network.set(trouble)
		for range 3 {
			want = append(want, fmt.Sprint("message ", len(want)))
			n.call("send", map[string]string{"text": want[len(want)-1]})
		}
		if i == 1 {
			chattest.Within(t, patience, "one has arrived", func() bool { return len(stored(t, url)) > 3 })
		}
		network.set(healthy)
		n.call("retry")
		n.receives(want)
	}
	if got := stored(t, url); !slices.Equal(got, want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
	chattest.Within(t, patience, "all are answered", func() bool { return len(n.all("send")) == len(want) })
	n.call("send", map[string]string{"text": strings.Repeat("long ", 30)})
	chattest.Within(t, patience, "a text that is too long is refused", func() bool {
		return strings.Contains(strings.Join(n.all("error"), ""), `"status":413`)
	})
}

// Messages with an event name come under that name, and are in the list.
func TestNamedEventsInTheClient(t *testing.T) {
	t.Parallel()
	url := site(t)
	n := inNode(t, fmt.Sprintf(`{"url": "%s/", "name": "kim", "authorKey": "kkkkkkkkkkkkkkkkkkkkkk"}`, url), "order", "hello", "presence", "signal")
	n.becomes("statechange", `"live"`)
	n.call("send", map[string]any{"event": "order", "data": map[string]int{"number": 7}, "text": "order 7"})
	chattest.Within(t, patience, "the order comes", func() bool { return len(n.all("order")) == 1 })
	if got := n.all("order")[0]; !strings.Contains(got, `"data":{"number":7}`) {
		t.Errorf("the order is %s", got)
	}
	// a name that the client uses itself
	n.call("send", map[string]any{"event": "statechange", "text": "not a state"})
	n.receives([]string{"not a state"})
	n.holds("order 7", "not a state")
	n.call("signal", "typing")
	chattest.Within(t, patience, "the signal comes, and says whose it is", func() bool {
		return strings.Contains(strings.Join(n.all("signal"), ""), `"name":"kim","author":"`)
	})
	if len(n.all("hello")) != 1 || len(n.all("presence")) == 0 {
		t.Errorf("hello came %d times, presence %d", len(n.all("hello")), len(n.all("presence")))
	}
}

// bell is all that a site needs to ring for new messages.
const bell = `import { Chat } from '/sse-chat.js';

const list = document.querySelector('ol');
const chat = new Chat({ url: '/', last: 10, shareTabs: true });
globalThis.rings = 0;

function show() {
  list.replaceChildren(...chat.messages.map(({ text }) => {
    const item = document.createElement('li');
    item.textContent = text;
    return item;
  }));
}
for (const type of ['live', 'message', 'change', 'delete', 'gap']) chat.addEventListener(type, show);
chat.addEventListener('message', () => globalThis.rings++);
chat.addEventListener('order', show);
globalThis.chat = chat;
`

// A page of a site's own imports only the client, under the strict policy. Its tabs share
// a stream, and each gets everything.
func TestTheClientInAPageOfItsOwn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	files, err := filepath.Glob("../public/sse-chat*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, filepath.Base(file)), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"bell.js": bell, "index.html": `<!doctype html><title>bell</title><ol></ol><script type="module" src="bell.js"></script>`} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free := chattest.FreePort(t)
	url := "http://localhost:" + free
	caddytest.Start(t, url, siteBlock(t, root, "sse_chat {\n\t\tretry 500ms\n\t\theartbeat 1s\n\t}"))
	network := newProxy(t, free)
	post(t, url+"/update", "before")
	chromium := startBrowser(t)
	const (
		items = `[...document.querySelectorAll('li')].map(item => item.textContent)`
		live  = `globalThis.chat?.state ?? ''`
	)
	var tabs []*tab
	want := []string{"before"}
	for i := range 3 {
		p := open(t, chromium, network.url()+"/?"+itoa(i))
		tabs = append(tabs, p)
		wait(p, live, "live")
		wait(p, items, want)
	}
	say := func(text string) {
		post(t, url+"/update", text)
		want = append(want, text)
	}
	say("hello")
	for _, p := range tabs {
		wait(p, items, want)
	}
	chattest.Within(t, patience, "the tabs share a stream", func() bool { return network.streams() == 1 })
	tabs[1].js(`chat.send({ event: 'order', data: 7, text: 'an order' })`)
	want = append(want, "an order")
	network.Cut(true)
	say("after a cut")
	for _, p := range tabs {
		wait(p, items, want)
	}
	// the tab with the stream goes, and one comes back that has missed something
	tabs[2].visit("about:blank")
	say("while one is away")
	tabs[0].end()
	say("with another stream")
	wait(tabs[1], items, want)
	tabs[2].back()
	wait(tabs[2], live, "live")
	wait(tabs[2], items, want)
	if got := eval[int](tabs[1], `rings`); got != 5 {
		t.Errorf("it has rung %d times, want 5", got)
	}
}

// The package has the client and its types, and nothing else of the repository.
func TestThePackage(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "npm", "pack", "--dry-run", "--json", "--ignore-scripts", "..").Output()
	if err != nil {
		t.Fatalf("npm pack: %v\n%s", err, out)
	}
	var packed []struct {
		Files []struct{ Path string }
	}
	if err := json.Unmarshal(out, &packed); err != nil || len(packed) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	var files []string
	for _, file := range packed[0].Files {
		files = append(files, file.Path)
	}
	slices.Sort(files)
	want := []string{"LICENSE", "README.md", "docs/client.md", "package.json", "public/sse-chat-more.js", "public/sse-chat-tabs.js", "public/sse-chat.d.ts", "public/sse-chat.js"}
	if !slices.Equal(files, want) {
		t.Errorf("the package has %q, want %q", files, want)
	}
	// by its name, as who has installed it imports it
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "--eval", `import { Chat, compareIds } from 'sse-chat'; console.log(typeof Chat, compareIds('2-1', '2') > 0)`)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "function true\n" {
		t.Errorf("node: %v\n%s", err, out)
	}
}
