package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestNATSThatHangs stops a server, so that its connections stay and nothing
// is read from them any more, and publishes more than they hold. What needs no
// NATS goes on: signs of life, streams in rooms that are new, kicks.
func TestNATSThatHangs(t *testing.T) {
	nats := startNATSProcess(t)
	n := startNode(t, "\tsse_chat {\n\t\theartbeat 1s\n\t\tstore jetstream "+nats.url+"\n\t}")
	postUntilOK(t, n.URL, "lobby", "hello", "hello")
	page := follow(t, n, "room=lobby&name=kim", "")
	expect(t, page, "ping", "")

	nats.stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	line := `{"text":"` + strings.Repeat("x", 8000) + `"}` + "\n"
	for range 3 {
		go func() {
			for ctx.Err() == nil {
				batch, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL+"/update", strings.NewReader(strings.Repeat(line, 1000)))
				if err != nil {
					return
				}
				batch.Header.Set("Content-Type", "application/x-ndjson")
				if response, err := http.DefaultClient.Do(batch); err == nil {
					response.Body.Close()
				}
			}
		}()
	}
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			post(ctx, n.URL, "lobby", fmt.Sprint(i), fmt.Sprint("n", i))
		}
	}()

	const hangs = 20 * time.Second
	last, worst := time.Now(), time.Duration(0)
	for begin, i := time.Now(), 0; time.Since(begin) < hangs; i++ {
		opening, opened := time.Now(), make(chan error, 1)
		rooms, leave := context.WithTimeout(ctx, patience)
		go func() {
			_ = subscribeFrom(rooms, n.URL, fmt.Sprint("room=new", i), func() { opened <- nil })
			opened <- rooms.Err()
		}()
		if err := <-opened; err != nil || time.Since(opening) > 5*time.Second {
			t.Fatalf("a stream in a new room begins after %s, %v", time.Since(opening), err)
		}
		for wait := time.After(500 * time.Millisecond); wait != nil; {
			select {
			case e := <-page:
				if e.Name == "ping" {
					last, worst = time.Now(), max(worst, time.Since(last))
				}
			case <-wait:
				wait = nil
			}
		}
		leave()
	}
	worst = max(worst, time.Since(last))
	t.Logf("%s is the longest between two signs of life", worst)
	if worst > 6*time.Second {
		t.Errorf("nothing came for %s, want a sign of life each second", worst)
	}
	begin := time.Now()
	if status, body := n.ask(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=kim", ""); status != http.StatusNoContent || time.Since(begin) > 5*time.Second {
		t.Errorf("a kick is answered %d %s after %s", status, body, time.Since(begin))
	}
	expect(t, page, "bye", "kicked")

	cancel()
	nats.goOn(t)
	postUntilOK(t, n.URL, "lobby", "again", "again")
}

// subscribeFrom calls began when a stream's first bytes have come.
func subscribeFrom(ctx context.Context, url, query string, began func()) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/subscribe?"+query, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var first [1]byte
	if _, err := response.Body.Read(first[:]); err != nil {
		return err
	}
	began()
	<-ctx.Done()
	return ctx.Err()
}

// TestARoomThatIsMadeAnewIsNotToldToBeEmpty has a room dropped and made anew
// within the 5 s for which a reader who has left is counted.
func TestARoomThatIsMadeAnewIsNotToldToBeEmpty(t *testing.T) {
	nats := single(t)
	start := func() *caddyNode {
		return startNode(t, "\tsse_chat {\n\t\tmax_rooms 1\n\t\tstore jetstream "+nats.url()+"\n\t}")
	}
	here, there := start(), start()
	page := follow(t, there, "room=a&name=watcher", "")
	visit := func(room string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := subscribeFrom(ctx, here.URL, "room="+room, cancel); err != context.Canceled {
			t.Fatalf("reading %s: %v", room, err)
		}
	}
	// a room is free for another one as soon as its reader is known to have left
	vacant := func() {
		waitFor(t, "the reader has left", func() bool {
			_, body := here.ask(t, http.MethodGet, "/sse_chat/hubs", "")
			return strings.Contains(body, `"subscribers":0`)
		})
	}
	visit("a")
	vacant()
	visit("b")
	vacant()
	go func() { _ = subscribeFrom(t.Context(), here.URL, "room=a&name=kim", func() {}) }()
	expect(t, page, "presence", `"names":["kim","watcher"],"unnamed":0`)
	// what was told wrongly came when the 5 s were over
	late := time.After(8 * time.Second)
	for {
		select {
		case e := <-page:
			if e.Name == "presence" && !strings.Contains(e.Data, `"kim"`) {
				t.Fatalf("kim reads the room, and it is told that %s", e.Data)
			}
		case <-late:
			return
		}
	}
}
