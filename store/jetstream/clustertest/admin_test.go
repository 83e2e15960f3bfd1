package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// ask sends a request to a node's admin API.
func (n *caddyNode) ask(t *testing.T, method, path, body string, header ...string) (status int, answer string) {
	t.Helper()
	a := n.Admin.Do(t, method, path, body, header...)
	return a.Status, a.Body
}

// history returns the ids that a node has of a room.
func (n *caddyNode) history(t *testing.T, room string) (ids []string) {
	t.Helper()
	for _, m := range n.History(t, room) {
		ids = append(ids, m.ID)
	}
	return ids
}

// follow reads a stream into a channel until the test ends.
func follow(t *testing.T, n *caddyNode, query, lastID string) <-chan chattest.Event {
	t.Helper()
	events, live := make(chan chattest.Event, 1000), make(chan struct{})
	go func() {
		_ = subscribe(t.Context(), n.URL, query+"&events=1", lastID, func(e chattest.Event) bool {
			if e.Name == "live" {
				close(live)
			}
			events <- e
			return true
		})
		close(events)
	}()
	select {
	case <-live:
	case <-time.After(patience):
		t.Fatalf("the stream of %s is not live after %s", query, patience)
	}
	return events
}

// expect waits for an event with a name, or none, that contains something.
func expect(t *testing.T, events <-chan chattest.Event, name, content string) chattest.Event {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream has ended before %q %s", name, content)
			}
			if e.Name == name && strings.Contains(e.Data, content) {
				return e
			}
		case <-late:
			t.Fatalf("%q %s has not come within %s", name, content, patience)
		}
	}
}

// next returns the next event that is a message or tells of missing ones.
func next(t *testing.T, events <-chan chattest.Event) chattest.Event {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-events:
			if e.Name == "" || e.Name == "gap" {
				return e
			}
		case <-late:
			t.Fatalf("no message has come within %s", patience)
		}
	}
}

// TestModerationHoldsForAllNodes asks one node to remove what others have.
func TestModerationHoldsForAllNodes(t *testing.T) {
	nats := single(t)
	a, b := startCaddy(t, urls(nats), ""), startCaddy(t, urls(nats), "")
	var ids []string
	for i := range 3 {
		_, id := postUntilOK(t, a.URL, "tea", fmt.Sprint("m", i), fmt.Sprint("m", i))
		ids = append(ids, id)
	}
	_, idle := postUntilOK(t, b.URL, "idle", "x", "x")
	page := follow(t, b, "room=tea&name=kim", ids[0])
	expect(t, page, "", ids[2])

	for _, n := range []*caddyNode{a, b} {
		waitFor(t, "all rooms are listed", func() bool {
			_, body := n.ask(t, http.MethodGet, "/sse_chat/hubs/default/rooms", "")
			var rooms []struct {
				Name     string
				Messages int
			}
			if err := json.Unmarshal([]byte(body), &rooms); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			return fmt.Sprint(rooms) == "[{idle 1} {tea 3}]"
		})
	}

	if status, body := a.ask(t, http.MethodDelete, "/sse_chat/hubs/default/messages/"+ids[1], ""); status != http.StatusNoContent {
		t.Fatalf("deleting: %d %s", status, body)
	}
	expect(t, page, "delete", ids[1])
	if got := b.history(t, "tea"); !slices.Equal(got, []string{ids[0], ids[2]}) {
		t.Errorf("after a deletion the other node has %v, want %v without the second", got, ids)
	}
	for _, id := range []string{ids[1], "17", "17-999"} {
		if status, body := b.ask(t, http.MethodDelete, "/sse_chat/hubs/default/messages/"+id, ""); status != http.StatusNotFound {
			t.Errorf("deleting %s, which is not there: %d %s", id, status, body)
		}
	}

	if status, body := b.ask(t, http.MethodDelete, "/sse_chat/hubs/default/rooms/tea", ""); status != http.StatusNoContent {
		t.Fatalf("forgetting: %d %s", status, body)
	}
	waitFor(t, "the room is forgotten at both nodes", func() bool { return len(a.history(t, "tea")) == 0 && len(b.history(t, "tea")) == 0 })
	// one who comes back from before is told
	back := follow(t, a, "room=tea", ids[0])
	expect(t, back, "gap", `"reason":"expired","oldest":""`)
	_, id := postUntilOK(t, a.URL, "tea", "fresh", "fresh")
	for _, events := range []<-chan chattest.Event{page, back} {
		if e := expect(t, events, "", "fresh"); e.ID != id {
			t.Errorf("after a room is forgotten %+v comes, want %s", e, id)
		}
	}
	if got := a.history(t, "idle"); !slices.Equal(got, []string{idle}) {
		t.Errorf("another room has %v, want %s", got, idle)
	}

	if status, body := a.ask(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?name=kim", ""); status != http.StatusNoContent {
		t.Fatalf("kicking: %d %s", status, body)
	}
	expect(t, page, "bye", "kicked")
	waitFor(t, "the name is kept out at both nodes", func() bool {
		for _, n := range []*caddyNode{a, b} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := subscribe(ctx, n.URL, "name=kim", "", func(chattest.Event) bool { return true })
			cancel()
			if err == nil || !strings.Contains(err.Error(), "204") {
				return false
			}
		}
		return true
	})
}

// TestStreamsEndAtAllNodes asks one node to end the streams of another, and to
// keep a name from writing there.
func TestStreamsEndAtAllNodes(t *testing.T) {
	nats := single(t)
	a, b := startCaddy(t, urls(nats), ""), startCaddy(t, urls(nats), "")
	end := func(n *caddyNode, whose string) {
		t.Helper()
		if status, body := n.ask(t, http.MethodDelete, "/sse_chat/hubs/default/subscribers?"+whose, ""); status != http.StatusNoContent {
			t.Fatalf("ending the streams of %s: %d %s", whose, status, body)
		}
	}
	tea, lobby := follow(t, b, "room=tea", ""), follow(t, b, "name=lee", "")
	end(a, "room=tea")
	expect(t, tea, "bye", `"reload"`)
	_, id := postUntilOK(t, a.URL, "lobby", "x", "x")
	if e := expect(t, lobby, "", id); e.ID != id {
		t.Errorf("a stream of another room got %+v, want %s", e, id)
	}
	end(a, "all")
	expect(t, lobby, "bye", `"reload"`)
	follow(t, b, "room=tea", "") // and may come back

	end(a, "name=kim")
	waitFor(t, "the name may not write at both nodes", func() bool {
		for _, n := range []*caddyNode{a, b} {
			response, err := http.Post(n.URL+"/update", "application/json", strings.NewReader(`{"text":"x","name":"kim"}`))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusForbidden {
				return false
			}
		}
		return true
	})
}

// storeUp returns what the metrics say of a hub's store.
func (n *caddyNode) storeUp(t *testing.T) string {
	t.Helper()
	up, ok := n.Admin.Scrape(t)[`store_up{hub="default"}`]
	if !ok {
		t.Fatal("the metrics tell nothing of the store")
	}
	return fmt.Sprint(up)
}

// TestOperatorsSeeWhetherNATSIsThere has nobody publish, or Caddy would know
// from that.
func TestOperatorsSeeWhetherNATSIsThere(t *testing.T) {
	nats := &natsServer{options: server.Options{
		Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	n := startCaddy(t, urls(nats), "")
	up := func(when, want string) {
		t.Helper()
		waitFor(t, "store_up "+want+" "+when, func() bool { return n.storeUp(t) == want })
	}
	up("before NATS has come", "0")
	nats.start(t)
	t.Cleanup(func() { nats.kill() })
	up("when NATS has come", "1")
	for range 2 {
		nats.kill()
		up("when NATS is gone", "0")
		if _, body := n.ask(t, http.MethodGet, "/sse_chat/hubs", ""); !strings.Contains(body, `"store_up":false`) {
			t.Errorf("without NATS the admin API says %s", body)
		}
		nats.start(t)
		up("when NATS is back", "1")
	}
}

// reload has a node load another configuration.
func (n *caddyNode) reload(t *testing.T, block string) (status int, body string) {
	t.Helper()
	config := fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n\tskip_install_trust\n}\n\n%s {\n%s\n}\n", n.Admin.Addr, n.URL, block)
	return n.ask(t, http.MethodPost, "/load", config, "Content-Type: text/caddyfile")
}

// TestAReloadWithAnotherRetain changes the stream, and no reader notices.
func TestAReloadWithAnotherRetain(t *testing.T) {
	nats := single(t)
	a, b := startCaddy(t, urls(nats), ""), startCaddy(t, urls(nats), "")
	js := client(t, nats.url())
	keeps := func() int64 {
		stream, err := js.Stream(t.Context(), "SSE_CHAT_default")
		if err != nil {
			t.Fatal(err)
		}
		return stream.CachedInfo().Config.MaxMsgsPerSubject
	}
	_, first := postUntilOK(t, a.URL, "tea", "first", "first")
	readers := []<-chan chattest.Event{follow(t, a, "room=tea", first), follow(t, b, "room=tea", first)}
	for _, retain := range []int{200_000, 500, 1000} {
		for _, n := range []*caddyNode{a, b} {
			if status, body := n.reload(t, directive(retain, urls(nats), "")); status != http.StatusOK {
				t.Fatalf("a reload is answered %d %s", status, body)
			}
		}
		waitFor(t, fmt.Sprint("the stream keeps ", retain), func() bool { return keeps() == int64(retain)+1 })
		for i, n := range []*caddyNode{a, b} {
			text := fmt.Sprintf("%d from %d", retain, i)
			_, id := postUntilOK(t, n.URL, "tea", text, fmt.Sprint("r", retain, "-", i))
			for _, events := range readers {
				if e := next(t, events); e.ID != id {
					t.Fatalf("a reader gets %+v, want %s, %s", e, id, text)
				}
			}
		}
	}
	// a node that is started with something else does not change it
	if status, body := startBare(t).reload(t, directive(7000, urls(nats), "")); status == http.StatusOK || !strings.Contains(body, "max_msgs_per_subject is 1001 and should be 7001") {
		t.Errorf("another retain is answered %d %s", status, body)
	}
	if n := keeps(); n != 1001 {
		t.Errorf("the stream keeps %d, want 1001", n)
	}
}
