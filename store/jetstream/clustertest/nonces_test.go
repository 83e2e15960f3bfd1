package clustertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// repeat sends a draft that was sent before, until that succeeds.
func repeat(t *testing.T, s store.Store, room string, draft store.Draft) (got store.Receipt) {
	t.Helper()
	waitFor(t, "an answer to "+draft.Text, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		receipts, err := s.Append(ctx, room, []store.Draft{draft})
		if err == nil {
			got = receipts[0]
		}
		return err == nil
	})
	return got
}

func byKim(nonce string) store.Draft {
	return store.Draft{Text: "of kim " + nonce, Nonce: nonce, Owner: store.OwnerByName("kim")}
}

func TestOwnersOfANonceAtAllNodes(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	a, b := open(t, module, new(storetest.Hub), few), open(t, module, new(storetest.Hub), few)
	drafts := []store.Draft{byKim("n"), {Text: "of lee", Nonce: "n", Owner: store.OwnerByKey(strings.Repeat("x", 43))}, {Text: "of nobody", Nonce: "n"}}
	var sent []*store.Message
	for i, draft := range drafts {
		sent = append(sent, storetest.MustAppend(t, []store.Store{a, b}[i%2], "r", draft)[0])
	}
	late := open(t, module, new(storetest.Hub), few)
	for name, s := range map[string]store.Store{"a": a, "b": b, "a late one": late} {
		for i, draft := range drafts {
			if got := repeat(t, s, "r", draft); got.ID != sent[i].ID || got.Message == nil || string(got.Message.JSON()) != string(sent[i].JSON()) {
				t.Errorf("node %s answers %q with %+v, want %s", name, draft.Text, got, sent[i].JSON())
			}
		}
	}
	// a key has no more of an owner than a hash, and of nobody what earlier versions
	// tell
	stream, err := client(t, nats.url()).Stream(t.Context(), module.Stream)
	if err != nil {
		t.Fatal(err)
	}
	for i, draft := range drafts {
		m, err := stream.GetMsg(t.Context(), sent[i].ID.N)
		if err != nil {
			t.Fatal(err)
		}
		key := m.Header.Get(natsjs.MsgIDHeader)
		if i == 2 && key != "r:n" || i < 2 && (len(key) != len("r::n")+22 || !strings.HasPrefix(key, "r:") || !strings.HasSuffix(key, ":n")) {
			t.Errorf("the key of %q is %s", draft.Text, key)
		}
	}
}

// What was deleted or forgotten at one node is not answered by another, also
// by one that joins later, and when NATS has forgotten what it removed.
func TestNoNodeAnswersWhatWasDeleted(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hub := new(peerHub)
	limits := store.Limits{Count: 100, Rooms: 3}
	a, b := open(t, module, new(storetest.Hub), limits), open(t, module, hub, limits)
	want := make(map[string]map[store.Draft]store.ID)
	for _, room := range []string{"deleted", "forgotten"} {
		want[room] = make(map[store.Draft]store.ID)
		for _, draft := range []store.Draft{byKim("k"), {Text: "of nobody", Nonce: "n"}} {
			want[room][draft] = storetest.MustAppend(t, a, room, draft)[0].ID
		}
	}
	kept := storetest.MustAppend(t, a, "deleted", byKim("kept"))[0]
	for _, id := range want["deleted"] {
		if err := a.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Forget(t.Context(), "forgotten"); err != nil {
		t.Fatal(err)
	}
	hub.has(t, "all that is gone", func() bool { return len(hub.deleted) == 2 && len(hub.forgotten) == 1 })
	check := func(name string, s store.Store) {
		t.Helper()
		for room, drafts := range want {
			for draft, id := range drafts {
				for range 2 {
					if got := repeat(t, s, room, draft); got != (store.Receipt{ID: id, Repeat: true}) {
						t.Errorf("%s answers %q in %s with %+v, want %v and no message", name, draft.Text, room, got, id)
					}
				}
				batch, err := s.Append(t.Context(), room, []store.Draft{draft, {Text: "x"}, draft})
				if err != nil || batch[0] != (store.Receipt{ID: id, Repeat: true}) || batch[2] != batch[0] || batch[1].Repeat {
					t.Errorf("%s answers a batch in %s with %+v, %v", name, room, batch, err)
				}
			}
		}
		if got := repeat(t, s, "deleted", byKim("kept")); got.Message == nil || got.ID != kept.ID {
			t.Errorf("%s answers what is kept with %+v", name, got)
		}
	}
	check("the node", a)
	check("the other node", b)
	check("a late node", open(t, module, new(storetest.Hub), limits))
	_, _ = a.Close(), b.Close()
	nats.kill()
	nats.start(t)
	check("a node after a restart of all", open(t, module, new(storetest.Hub), limits))
}

// A room that made room for another is no forgotten one.
func TestNodesStillAnswerARoomThatMadeRoom(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hub := new(peerHub)
	limits := store.Limits{Count: 100, Rooms: 2}
	a, b := open(t, module, new(storetest.Hub), limits), open(t, module, hub, limits)
	first := storetest.MustAppend(t, a, "r", byKim("k"))[0]
	for _, room := range []string{"s", "t"} {
		storetest.MustAppend(t, a, room, storetest.Text("x"))
	}
	hub.has(t, "that a room is gone", func() bool { return len(hub.forgotten) == 1 })
	late := open(t, module, new(storetest.Hub), limits)
	for name, s := range map[string]store.Store{"a": a, "b": b, "a late one": late} {
		if got := repeat(t, s, "r", byKim("k")); got.Message == nil || got.ID.N != first.ID.N || !got.Repeat {
			t.Errorf("node %s answers %+v, want %s", name, got, first.JSON())
		}
	}
	// it is when what its nonces keep is forgotten too
	if err := a.Forget(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]store.Store{"a": a, "late": open(t, module, new(storetest.Hub), limits)} {
		if got := repeat(t, s, "r", byKim("k")); got.Message != nil || got.ID.N != first.ID.N || !got.Repeat {
			t.Errorf("node %s answers %+v of a forgotten room", name, got)
		}
	}
}

// Nodes of an earlier version, which know no owners, do not tell the key of
// what they delete.
func TestADeletionByAnEarlierVersion(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	hub := new(peerHub)
	s := open(t, module, hub, few)
	m := storetest.MustAppend(t, s, "r", byKim("k"))[0]
	js := client(t, server.url())
	change := nats.NewMsg("sse_chat." + module.Stream + ".changes")
	change.Header.Set("Sse-Chat-Floor", "0")
	change.Data = fmt.Appendf(nil, `{"room":"r","deleted":%q}`, m.ID)
	if _, err := js.PublishMsg(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), module.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SecureDeleteMsg(t.Context(), m.ID.N); err != nil {
		t.Fatal(err)
	}
	hub.has(t, "the deletion", func() bool { return len(hub.deleted) == 1 })
	for name, s := range map[string]store.Store{"the node": s, "a late node": open(t, module, new(storetest.Hub), few)} {
		if got := repeat(t, s, "r", byKim("k")); got.Message != nil || got.ID.N != m.ID.N || !got.Repeat {
			t.Errorf("%s answers %+v, want %v and no message", name, got, m.ID)
		}
	}
}
