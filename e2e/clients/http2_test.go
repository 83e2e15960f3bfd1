package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// overHTTP2 returns clients that speak HTTP/2 to a chat.
func overHTTP2(c *chat) map[string]client {
	list := answering(c)
	list["curl and a few lines"] = curl("--http2", "--insecure")
	list["Java's HttpClient"] = java("httpclient")
	list["OkHttp"] = java("okhttp")
	return list
}

// answering returns those of them that answer what begins with "ping".
func answering(c *chat) map[string]client {
	return map[string]client{
		"Chromium":                chromium,
		"Firefox":                 firefoxThatTrusts(c),
		"Node's http2":            inNode("http2"),
		"Node's http2, with room": inNode("http2-wide"),
		"undici's EventSource":    inNode("undici-http2"),
		"undici's fetch":          inNode("undici-fetch-http2"),
		"Python's httpx":          python("with_httpx_http2.py"),
		"go-sse":                  goHTTP2,
	}
}

// goHTTP2 is go-sse over Go's own HTTP/2.
func goHTTP2(ctx context.Context, url string, deliver func(event, data string)) error {
	over := &http.Client{Transport: &http.Transport{TLSClientConfig: chattest.InsecureTLS(), Protocols: chattest.OnlyHTTP2()}}
	defer over.CloseIdleConnections()
	fault := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := goSSE(over)(ctx, url, func(event, data string) {
		deliver(event, data)
		var m struct{ Text string }
		if json.Unmarshal([]byte(data), &m) != nil || !strings.HasPrefix(m.Text, "ping") {
			return
		}
		response, err := over.Post(strings.Replace(url, "/subscribe", "/update", 1), "application/json", bytes.NewReader([]byte(`{"text":"pong"}`)))
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("the post is answered %s", response.Status)
		}
		if err != nil {
			fault <- err
			cancel()
			return
		}
		response.Body.Close()
	})
	select {
	case err = <-fault:
	default:
	}
	return err
}

// Each client can post on the connection on which its stream is parked, also when the
// server of that connection was replaced, and then on another one.
func TestClientsPostBesideTheirParkedStreams(t *testing.T) {
	t.Parallel()
	c := startHTTP2(t)
	p := newProxy(t, c.addr)
	clients := answering(c)
	readers := c.readers(t, p, clients)
	chattest.Within(t, patience, "all have connected", func() bool { return c.subscribers(t) == len(readers) })
	c.areParked(t, len(readers))
	defer func() {
		if t.Failed() {
			for _, r := range readers {
				t.Logf("%s has %d messages; there are %d streams", r.name, r.count(), c.subscribers(t))
			}
		}
	}()

	pings := 0
	ask := func() {
		c.publish(t, fmt.Sprint("ping ", pings))
		pings++
		for _, r := range readers {
			chattest.Within(t, patience, r.name+" has all answers", func() bool { return r.count() >= pings*(1+len(readers)) })
		}
	}
	for range 5 {
		ask()
	}
	c.areParked(t, len(readers))
	// browsers open more than they need at first
	chattest.Within(t, patience, "each has one connection", func() bool { return len(p.Links()) == len(readers) })
	c.reload(t)
	for range 5 {
		ask()
	}
	var want []string
	for _, m := range c.process.History(t, room) {
		want = append(want, m.Text)
	}
	if pongs := len(slices.DeleteFunc(slices.Clone(want), func(text string) bool { return text != "pong" })); pongs != pings*len(readers) {
		t.Errorf("there are %d answers, want %d", pongs, pings*len(readers))
	}
	for _, r := range readers {
		r.check(t, want)
	}
}

// areParked waits until so many streams are open and parked, all but the one of Node's
// http2, which has the smallest possible window.
func (c *chat) areParked(t *testing.T, streams int) {
	t.Helper()
	chattest.Within(t, patience, fmt.Sprintf("all but one of %d streams are parked", streams), func() bool {
		return c.subscribers(t) == streams && c.process.Admin.Unparked(t) == 1
	})
}
