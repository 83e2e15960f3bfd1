package clustertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// takeover is how long another node may take until it goes on after one that has died.
const takeover = 15 * time.Second

func openCursor(t *testing.T, ctx context.Context, s store.Store) store.Cursor {
	t.Helper()
	c, err := s.(store.Cursors).OpenCursor(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOneNodeHasTheCursor passes a cursor from node to node.
func TestOneNodeHasTheCursor(t *testing.T) {
	module := &jetstream.Module{URLs: urls(single(t)), Stream: newStream()}
	a, b := open(t, module, new(peerHub), storetest.Plenty), open(t, module, new(peerHub), storetest.Plenty)
	ctx := t.Context()
	if c := openCursor(t, ctx, a); c.At() != (store.ID{}) {
		t.Errorf("in an empty log a new cursor is at %v", c.At())
	} else if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.(store.Cursors).DropCursor(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	first := mustAppend(t, a, "tea", "first")
	second := mustAppend(t, a, "tea", "second")
	waitFor(t, "the other node has it", func() bool { return b.State().Latest == second })
	c := openCursor(t, ctx, a)
	if c.At() != second {
		t.Errorf("a new cursor is at %v, want %v", c.At(), second)
	}
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := b.(store.Cursors).OpenCursor(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the other node gets it too: %v", err)
	}
	if err := c.Save(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := b.(store.Cursors).DropCursor(ctx, "x"); err != nil { // it is not b's
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if c = openCursor(t, ctx, b); c.At() != first || time.Since(begin) > 3*time.Second {
		t.Errorf("the other node has it at %v after %s, want %v at once", c.At(), time.Since(begin), first)
	}
	if err := a.(store.Cursors).DropCursor(ctx, "x"); err != nil { // any more
		t.Fatal(err)
	}
	if err := c.Save(ctx, second); err != nil {
		t.Fatal(err)
	}
	// the node dies
	begin = time.Now()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Lost():
	case <-time.After(time.Second):
		t.Error("a dead node takes itself for the holder")
	}
	if c = openCursor(t, ctx, a); c.At() != second || time.Since(begin) > takeover || time.Since(begin) < 7*time.Second {
		t.Errorf("after %s it is at %v, want %v", time.Since(begin), c.At(), second)
	}
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.(store.Cursors).DropCursor(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	third := mustAppend(t, a, "tea", "third")
	if c = openCursor(t, ctx, a); c.At() != third {
		t.Errorf("after it was dropped it is at %v, want %v", c.At(), third)
	}
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestACursorThatIsCutOff has a node lose its connection.
func TestACursorThatIsCutOff(t *testing.T) {
	nats := single(t)
	s := open(t, &jetstream.Module{URLs: urls(nats), Stream: newStream()}, new(peerHub), storetest.Plenty)
	c := openCursor(t, t.Context(), s)
	id := mustAppend(t, s, "tea", "x")
	nats.kill()
	begin := time.Now()
	if err := c.Save(t.Context(), id); err == nil {
		t.Error("a cursor is saved nowhere")
	}
	select {
	case <-c.Lost():
	case <-time.After(patience):
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it takes itself for the holder for %s", took)
	}
	nats.start(t)
	mustAppend(t, s, "tea", "y")
	if c = openCursor(t, t.Context(), s); c.At().After(id) {
		t.Errorf("after a restart of NATS it is at %v, want no more than %v", c.At(), id)
	}
}

// TestSinceOnANewNode asks a node that has just joined which rooms have news.
func TestSinceOnANewNode(t *testing.T) {
	module := &jetstream.Module{URLs: urls(single(t)), Stream: newStream()}
	s := open(t, module, new(peerHub), storetest.Plenty)
	kim := store.Owner("kim")
	put := func(room string) store.ID {
		receipts, err := s.Append(t.Context(), room, []store.Draft{{Text: "x", Owner: kim}})
		if err != nil {
			t.Fatal(err)
		}
		return receipts[0].ID
	}
	put("old")
	changed, deleted := put("changed"), put("deleted")
	at := put("forgotten")
	for id, c := range map[store.ID]store.Change{changed: {Kind: store.Append, By: kim, Text: "y", MaxText: 100}, deleted: {Kind: store.Delete, By: kim}} {
		room := map[store.ID]string{changed: "changed", deleted: "deleted"}[id]
		if _, err := s.Change(t.Context(), room, id, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget(t.Context(), "forgotten"); err != nil {
		t.Fatal(err)
	}
	put("방")
	want := []string{"changed", "deleted", "forgotten", "방"}
	for _, node := range []store.Store{s, open(t, module, new(peerHub), storetest.Plenty)} {
		rooms, lost, err := node.(store.RoomFinder).Since(t.Context(), at)
		slices.Sort(rooms)
		rooms = slices.DeleteFunc(rooms, func(room string) bool { return room == "old" }) // a new node may name more
		if err != nil || !slices.Equal(rooms, want) || lost.After(at) {
			t.Errorf("since %v there are %q, and %v is lost (%v); want %q", at, rooms, lost, err, want)
		}
	}
}

// hook is the option of a node.
func hook(nats []string, b *chattest.Backend) string {
	d := directive(100_000, nats, "")
	return strings.Replace(d, "{\n", "{\n\t\twebhook "+b.URL+" s3cret\n", 1)
}

// probe waits until a backend is told of what is published now.
func probe(t *testing.T, node *caddyNode, b *chattest.Backend) {
	t.Helper()
	waitFor(t, "the backend is told", func() bool {
		postUntilOK(t, node.URL, "probe", "x", fmt.Sprint("p", time.Now().UnixNano()))
		return b.Count() > 0
	})
}

// TestTheSenderIsKilled kills nodes, of which one tells the backend, while both are written
// to.
func TestTheSenderIsKilled(t *testing.T) {
	nats, b := single(t), chattest.NewBackend(t, "s3cret")
	block := hook(urls(nats), b)
	nodes := []*caddyNode{startNode(t, block), startNode(t, block)}
	probe(t, nodes[0], b)
	var want []string
	say := func(node *caddyNode, n int) {
		for range n {
			text := fmt.Sprint(len(want))
			postUntilOK(t, node.URL, "tea", text, "n"+text)
			want = append(want, text)
		}
	}
	for round := range 2 {
		say(nodes[0], 50)
		say(nodes[1], 50)
		nodes[round].Kill(t)
		begin := time.Now()
		say(nodes[1-round], 50)
		waitFor(t, "the backend is told by the other node", func() bool { return len(b.Texts("tea")) == len(want) })
		if took := time.Since(begin); took > takeover+5*time.Second { // the machine may be busy
			t.Errorf("another node goes on after %s", took)
		}
		nodes[round] = startNode(t, block)
	}
	// an exit gives the lease up
	for i := range nodes {
		nodes[i].Terminate(t)
		begin := time.Now()
		say(nodes[1-i], 20)
		waitFor(t, "the backend is told at once", func() bool { return len(b.Texts("tea")) == len(want) })
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("after an exit another node goes on after %s", took)
		}
		if nodes[i] = nil; i == 0 {
			nodes[0] = startNode(t, block)
		}
	}
	if got := b.Texts("tea"); !slices.Equal(got, want) {
		t.Errorf("the backend has %d messages, want %d", len(got), len(want))
	}
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("it was told of gaps: %q", gaps)
	}
}

// TestABackendOfTwoNodesHasWhatTheHubHas changes messages on two nodes while the backend fails
// and NATS is restarted.
func TestABackendOfTwoNodesHasWhatTheHubHas(t *testing.T) {
	nats, b := single(t), chattest.NewBackend(t, "s3cret")
	nodes := []*caddyNode{startNode(t, hook(urls(nats), b)), startNode(t, hook(urls(nats), b))}
	probe(t, nodes[0], b)
	const key = "Authorization: Author-Key 0123456789abcdefghijklm"
	random := rand.New(rand.NewPCG(1, 1))
	rooms := []string{"a", "b", "방"}
	type sent struct{ room, id string }
	var all []sent
	for i := range 300 {
		node, room := nodes[random.IntN(2)], rooms[random.IntN(len(rooms))]
		if i == 150 {
			b.AnswerStatus(http.StatusInternalServerError)
		}
		if i == 200 {
			nats.kill()
			nats.start(t)
			b.Answer(nil)
		}
		if random.IntN(2) == 0 || len(all) == 0 {
			waitFor(t, "a message is stored", func() bool {
				a := node.Do(t, http.MethodPost, "/update?room="+room, fmt.Sprintf(`{"text":"%d","nonce":"n%d"}`, i, i), key)
				if a.Status == http.StatusOK {
					all = append(all, sent{room, a.Stored(t).ID})
				}
				return a.Status == http.StatusOK
			})
			continue
		}
		m := all[random.IntN(len(all))]
		path := "/update?room=" + m.room + "&id=" + m.id
		waitFor(t, "a change is made", func() bool {
			var a chattest.Answer
			if random.IntN(4) == 0 {
				a = node.Do(t, http.MethodDelete, path, "", key)
			} else {
				a = node.Do(t, http.MethodPatch, path, fmt.Sprintf(`{"append":"+%d","nonce":"c%d"}`, i, i), key)
			}
			return a.Status != http.StatusServiceUnavailable
		})
	}
	for _, room := range rooms {
		var got, want []string
		for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
			want = nil
			for _, m := range nodes[0].History(t, room) {
				want = append(want, m.Text)
			}
			if got = b.Texts(room); slices.Equal(got, want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("room %s: the backend has %q\nand the hub %q", room, got, want)
		}
	}
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("it was told of gaps: %q", gaps)
	}
}

// TestAStreamThatIsReplaced tells the backend of a gap.
func TestAStreamThatIsReplaced(t *testing.T) {
	nats, b := single(t), chattest.NewBackend(t, "s3cret")
	node := startNode(t, hook(urls(nats), b))
	probe(t, node, b)
	js := client(t, nats.url())
	if err := js.DeleteStream(t.Context(), "SSE_CHAT_default"); err != nil {
		t.Fatal(err)
	}
	postUntilOK(t, node.URL, "tea", "new", "new")
	waitFor(t, "the backend is told of a gap and what is new", func() bool {
		return slices.Equal(b.Gaps(), []string{"rollback"}) && slices.Equal(b.Texts("tea"), []string{"new"})
	})
	// and so if that happens while nobody tells it
	node.Terminate(t)
	if err := js.DeleteStream(t.Context(), "SSE_CHAT_default"); err != nil {
		t.Fatal(err)
	}
	node = startNode(t, directive(100_000, urls(nats), ""))
	postUntilOK(t, node.URL, "tea", "newer", "newer")
	node.Terminate(t)
	node = startNode(t, hook(urls(nats), b))
	waitFor(t, "the backend is told of another gap", func() bool {
		return slices.Equal(b.Gaps(), []string{"rollback", "rollback"}) && slices.Equal(b.Texts("tea"), []string{"new", "newer"})
	})
	node.Terminate(t)
}

// TestAWebhookThatMayNotCreateItsStream has credentials for the stream of the messages only.
func TestAWebhookThatMayNotCreateItsStream(t *testing.T) {
	deny := &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: []string{"$JS.API.STREAM.CREATE.SSE_CHAT_default_CURSORS"}}}
	nats := single(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: deny}}
	})
	url := strings.Replace(nats.url(), "://", "://u:p@", 1)
	b := chattest.NewBackend(t, "s3cret")
	node := startNode(t, hook([]string{url}, b))
	postUntilOK(t, node.URL, "tea", "x", "x")
	waitFor(t, "the log says why", func() bool {
		log := node.Log(t)
		return strings.Contains(log, "the webhook waits for the store") && strings.Contains(log, "SSE_CHAT_default_CURSORS") && strings.Contains(log, "does not permit")
	})
	postUntilOK(t, node.URL, "tea", "y", "y")
	if b.Requests() > 0 {
		t.Error("it is sent although nobody can tell whether another node does")
	}
}
