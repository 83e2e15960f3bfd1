package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

const (
	texts = `[...document.querySelectorAll('#messages .text')].map(p => p.textContent)`
	state = `document.body.dataset.connection ?? ''`
	// scroll positions of the reader
	fromEnd = `(s => Math.round(s.scrollHeight - s.scrollTop - s.clientHeight))(document.getElementById('scroller'))`
	toTop   = `document.getElementById('scroller').scrollTop = 0`
	pill    = `(p => p.hidden ? '' : p.textContent)(document.getElementById('pill'))`
)

// site starts a server with options of sse_chat and returns its address.
func site(t *testing.T, options ...string) string {
	t.Helper()
	port := chattest.FreePort(t)
	directive := "sse_chat {\n\t\tretry 500ms\n\t\t" + strings.Join(options, "\n\t\t") + "\n\t}"
	caddytest.Start(t, "http://localhost:"+port, siteBlock(t, "../public", directive))
	return "http://localhost:" + port
}

// join opens the page in English and waits until it is connected.
func join(t *testing.T, chromium context.Context, address string, before ...string) *tab {
	t.Helper()
	p := open(t, chromium, inEnglish(address), before...)
	wait(p, state, "live")
	return p
}

func inEnglish(address string) string {
	path, query, _ := strings.Cut(address, "?")
	if !strings.Contains(strings.TrimPrefix(path, "http://"), "/") {
		path += "/"
	}
	return path + "?lang=en&" + query
}

// say writes a message and sends it.
func (p *tab) say(text string) {
	p.t.Helper()
	p.js(`document.getElementById('text').focus()`)
	p.do(write(text), press(enter))
}

// message is what a bot sends.
type message struct {
	Text  string `json:"text"`
	Name  string `json:"name,omitempty"`
	Nonce string `json:"nonce,omitempty"`
}

// post publishes as a bot does.
func post(t *testing.T, url, text string) {
	t.Helper()
	postAll(t, url, message{Text: text})
}

// postMany publishes n messages, "message 1" and so on.
func postMany(t *testing.T, url string, n int) []string {
	t.Helper()
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint("message ", i+1)
	}
	for begin := 0; begin < n; begin += 1000 {
		var batch []message
		for _, text := range texts[begin:min(n, begin+1000)] {
			batch = append(batch, message{Text: text, Name: "bot"})
		}
		postAll(t, url, batch...)
	}
	return texts
}

// postAll publishes messages in one batch.
func postAll(t *testing.T, url string, messages ...message) {
	t.Helper()
	var body bytes.Buffer
	for _, m := range messages {
		_ = json.NewEncoder(&body).Encode(m)
	}
	response, err := http.Post(url, "application/x-ndjson", &body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s %s", url, response.Status, answer)
	}
}

// stored returns the texts that a server has, oldest first.
func stored(t *testing.T, url string) (texts []string) {
	t.Helper()
	for _, m := range chattest.At(url, http.DefaultClient).History(t, "lobby") {
		texts = append(texts, m.Text)
	}
	return texts
}
