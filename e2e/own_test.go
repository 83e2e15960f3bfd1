package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// owned returns the texts that the page shows as the reader's own.
const owned = `[...document.querySelectorAll('#messages .own .text')].map(p => p.textContent)`

// as publishes with a name that the server reads from a header.
func as(t *testing.T, user, url string, m message) {
	t.Helper()
	body, _ := json.Marshal(m)
	request, _ := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	request.Header.Set("X-User", user)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s as %s: %s", url, user, response.Status)
	}
}

// Everyone can read nonces. A post with someone else's nonce is not shown as
// theirs, in any room or under any name.
func TestNobodyElseIsTakenForTheReader(t *testing.T) {
	url := site(t, "name {http.request.header.X-User}")
	network := newProxy(t, port(url))
	p := join(t, startBrowser(t), network.url())
	p.enterRoom("tea")
	p.enterRoom("lobby")
	p.say("mine")
	wait(p, owned, []string{"mine"})
	wait(p, pendings+`.length`, 0)
	nonce := eval[string](p, `fetch('history').then(a => a.json()).then(({ messages }) => messages[0].nonce)`)
	if len(nonce) < 20 {
		t.Errorf("the nonce %q has no 128 bits", nonce)
	}
	// a server may accept it in the same room from another author, or later
	id := eval[string](p, `fetch('history').then(a => a.json()).then(({ messages }) => messages[0].id)`)
	network.inject("data: {\"text\":\"not mine\",\"timestamp\":1,\"id\":\"" + id + "-7\",\"nonce\":\"" + nonce + "\"}\nid: " + id + "-7\n\n")
	as(t, "eve", url+"/update?room=tea", message{Text: "nor this", Nonce: nonce})
	wait(p, texts, []string{"mine", "not mine"})
	wait(p, owned, []string{"mine"})
	wait(p, roomList, []string{"Lobby", "tea 1"})
	p.enterRoom("tea")
	wait(p, texts, []string{"nor this"})
	wait(p, owned, []string{})
	p.enterRoom("lobby")
	p.reload()
	wait(p, texts, []string{"mine"})
	wait(p, owned, []string{"mine"})
}

// Anybody can choose the same name as the reader.
func TestAChosenNameIsAnybodys(t *testing.T) {
	url := site(t)
	p := join(t, startBrowser(t), url)
	p.js(`document.getElementById('ask-name').focus()`)
	p.do(write("kim"), press(enter))
	p.say("mine")
	wait(p, owned, []string{"mine"})
	wait(p, pendings+`.length`, 0)
	postAll(t, url+"/update", message{Text: "not mine", Name: "kim"})
	wait(p, texts, []string{"mine", "not mine"})
	wait(p, owned, []string{"mine"})
}

// Two people of one name are two.
func TestTwoPeopleOfOneName(t *testing.T) {
	url := site(t)
	one, two := join(t, startBrowser(t), url), join(t, startBrowser(t), url)
	one.name("kim")
	two.name("kim")
	one.say("first")
	two.say("second")
	wait(one, owned, []string{"first"})
	wait(two, owned, []string{"second"})
	third := join(t, startBrowser(t), url)
	wait(third, texts, []string{"first", "second"})
	wait(third, `document.querySelectorAll('#messages .follows').length`, 0)
	wait(third, `document.getElementById('count').textContent.split(' · ')[0]`, "3 here")
	wait(one, `new Set([...document.querySelectorAll('#messages .name')].map(n => getComputedStyle(n).color)).size`, 2)
	one.say("third")
	wait(third, texts+`.length`, 3)
	one.say("fourth")
	wait(third, `document.querySelectorAll('#messages .follows').length`, 1)
	// the server knows that two tabs are one person by the tag of its key
	if got := one.asked("GET /subscribe?events=1&room=lobby&name=kim&author="); got == 0 {
		t.Error("the page does not say who it is")
	}
}

// A login that uses the header of the key goes on working, without changes.
func TestALoginInPlaceOfTheKey(t *testing.T) {
	free := chattest.FreePort(t)
	url := "http://localhost:" + free
	caddytest.Start(t, url, siteBlock(t, "../public", "@keyed header Authorization Author-Key*\n\trespond @keyed 401\n\tsse_chat"))
	p := join(t, startBrowser(t), url)
	p.say("one")
	p.say("two")
	wait(p, texts, []string{"one", "two"})
	wait(p, pendings+`.length`, 0)
	wait(p, owned, []string{"one", "two"})
	if got := p.asked("POST /update"); got != 3 {
		t.Errorf("%d posts, want 3: only the first is tried with the key", got)
	}
	p.reload()
	wait(p, owned, []string{"one", "two"})
}

// Where the server lets the reader moderate, it may change and delete anyone's.
func TestAModerator(t *testing.T) {
	url := site(t, "moderate on")
	p := join(t, startBrowser(t), url)
	post(t, url+"/update", "rude")
	post(t, url+"/update", "worse")
	p.act("rude", "Edit")
	p.js(`document.activeElement.select()`)
	p.do(write("kind"), press(enter))
	p.act("worse", "Delete")
	wait(p, texts, []string{"kind"})
	chattest.Within(t, patience, "both are stored", func() bool {
		now := history(t, url)
		return strings.Contains(now, `"kind"`) && !strings.Contains(now, "worse")
	})
}

// With a login, the server's name identifies the reader on all devices.
func TestOneReaderOnTwoDevices(t *testing.T) {
	url := site(t, "name kim")
	phone := join(t, startBrowser(t), url)
	wait(phone, `document.getElementById('name').value + document.getElementById('name').readOnly`, "kimtrue")
	wait(phone, here, "1 here; kim (you)")
	if eval[bool](phone, `document.getElementById('ask').checkVisibility()`) {
		t.Error("it is asked for a name that the server ignores")
	}
	laptop := join(t, startBrowser(t), url)
	laptop.enterRoom("tea")
	wait(laptop, state, "live")
	phone.say("from the phone")
	wait(phone, owned, []string{"from the phone"})
	post(t, url+"/update?room=tea", "in the other room")
	wait(laptop, owned, []string{"in the other room"})
	// the reader's own messages are not new
	laptop.enterRoom("lobby")
	wait(laptop, owned, []string{"from the phone"})
	laptop.screenshot("two-devices")
	laptop.reload()
	wait(laptop, owned, []string{"from the phone"})
}

// If only one room has logins, a name means nothing in the others.
func TestANameOfOneRoom(t *testing.T) {
	free := chattest.FreePort(t)
	url := "http://localhost:" + free
	caddytest.Start(t, url, siteBlock(t, "../public", "@staff query room=staff\n\tsse_chat @staff {\n\t\tname kim\n\t}\n\tsse_chat"))
	p := join(t, startBrowser(t), url+"/?room=staff")
	wait(p, `document.getElementById('name').value`, "kim")
	post(t, url+"/update?room=staff", "by kim elsewhere")
	wait(p, owned, []string{"by kim elsewhere"})
	p.enterRoom("lobby")
	postAll(t, url+"/update", message{Text: "by whom?", Name: "kim"})
	wait(p, texts, []string{"by whom?"})
	// until all is known, which the page asks for
	chattest.Within(t, patience, "the page reads along", func() bool { return p.asked("GET /subscribe?events=1") >= 1 })
	wait(p, owned, []string{})
	p.reload()
	wait(p, texts, []string{"by whom?"})
	wait(p, owned, []string{})
}
