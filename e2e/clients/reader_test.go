package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// reader is a running client.
type reader struct {
	name    string
	unnamed bool // it records only events without a name

	mu    sync.Mutex
	got   []string
	last  time.Time // when it got the last one
	began bool      // it knows where its stream starts
}

// readers starts clients, which come through a proxy.
func (c *chat) readers(t *testing.T, p *proxy, clients map[string]client) (list []*reader) {
	t.Helper()
	url := "http://" + p.Addr
	if c.certificate != "" {
		_, port, _ := strings.Cut(p.Addr, ":")
		url = "https://localhost:" + port
	}
	for name, run := range clients {
		list = append(list, startReader(t, name, run, url+"/subscribe?room="+escapedRoom+c.query))
	}
	return list
}

func startReader(t *testing.T, name string, run client, url string) *reader {
	t.Helper()
	r := &reader{name: name, unnamed: strings.Contains(url, "events=1")}
	keepRunning(t, name, run, url, r.deliver)
	return r
}

// keepRunning runs a client until the end of the test.
func keepRunning(t *testing.T, name string, run client, url string, deliver func(event, data string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		if err := run(ctx, url, deliver); err != nil && ctx.Err() == nil {
			t.Errorf("%s has given up: %v", name, err)
		}
	}()
}

// deliver records the text of a message, or another event.
func (r *reader) deliver(event, data string) {
	var m struct{ Text, Room string }
	got := fmt.Sprintf("no message: event %q, data %q", event, data)
	if err := json.Unmarshal([]byte(data), &m); err == nil && (event == "" || event == "message") && m.Room == room {
		got = m.Text
	}
	if r.unnamed && event != "" && event != "message" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if event == "start" && !r.began { // sent only to those who ask for it
		r.began = true
		return
	}
	r.got, r.last = append(r.got, got), time.Now()
}

func (r *reader) hasBegun() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began
}

// after tells how long after a time it got its last message.
func (r *reader) after(begin time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.Sub(begin)
}

func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// check fails unless exactly the published messages have arrived.
func (r *reader) check(t *testing.T, want []string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range max(len(r.got), len(want)) {
		switch {
		case i >= len(want):
			t.Fatalf("after all %d messages %s got %.100q", i, r.name, r.got[i:])
		case i >= len(r.got):
			t.Fatalf("%s got %d messages, want %d: %.100q is missing", r.name, i, len(want), want[i])
		case r.got[i] != want[i]:
			t.Fatalf("message %d of %s is %.100q, want %.100q", i, r.name, r.got[i], want[i])
		}
	}
}
