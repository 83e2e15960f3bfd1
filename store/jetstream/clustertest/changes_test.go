package clustertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

var kim = store.OwnerByName("kim")

func ofKim(text string) store.Draft { return store.Draft{Text: text, Owner: kim} }

func add(text string) store.Change {
	return store.Change{Kind: store.Append, By: kim, Text: text, MaxText: 30 << 10}
}

func edit(text string) store.Change {
	return store.Change{Kind: store.Edit, By: kim, Text: text, HasText: true, MaxText: 30 << 10}
}

var deletion = store.Change{Kind: store.Delete, By: kim}

// mustChange makes a change until that succeeds, as a client would.
func mustChange(t *testing.T, s store.Store, m *store.Message, c store.Change) (got store.Receipt) {
	t.Helper()
	if c.Nonce == "" {
		c.Nonce = fmt.Sprint("c", time.Now().UnixNano())
	}
	waitFor(t, c.Kind.String()+" "+c.Text, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		receipt, err := s.Change(ctx, m.Room, m.ID, c)
		if err != nil && store.IsRefusal(err) {
			t.Fatalf("%s of %v: %v", c.Kind, m.ID, err)
		}
		got = receipt
		return err == nil
	})
	return got
}

// textOf returns the text of a message as a node reads it.
func textOf(t *testing.T, s store.Store, m *store.Message) string {
	t.Helper()
	page, err := s.Before(t.Context(), m.Room, m.ID.Next(), 1)
	if err != nil || len(page.Messages) != 1 || page.Messages[0].ID.N != m.ID.N {
		t.Fatalf("%v is read as %v, %v", m.ID, page.Messages, err)
	}
	return page.Messages[0].Post().Text
}

// catch brings a reader that was at an id up to date, and compares it with the store.
func catch(t *testing.T, s store.Store, reader *storetest.Reader, after store.ID, rooms ...string) int {
	t.Helper()
	n, _ := reader.Catch(t, s, after, 10, rooms...)
	reader.Check(t, s, rooms...)
	return n
}

// flood publishes so many messages that a node that joins reads none of the older entries
// of the stream.
func flood(t *testing.T, server *natsServer, stream string) {
	t.Helper()
	js := client(t, server.url())
	for i := range 20_001 {
		m := nats.NewMsg("sse_chat." + stream + ".room.flood")
		m.Header.Set("Sse-Chat-Floor", "0")
		m.Data = []byte(`{"text":"x"}`)
		if _, err := js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
		if i%2000 == 0 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
}

// watch checks that one who has all that was delivered to a hub, and the deltas, sees the
// text of a message.
func watch(t *testing.T, hub *peerHub, m *store.Message, want string) {
	t.Helper()
	waitFor(t, "the text at a node", func() bool {
		reader := storetest.NewReader()
		for _, entry := range append(hub.Delivered(), hub.Deltas()...) {
			if err := reader.Take(entry); err != nil {
				t.Fatal(err)
			}
		}
		return reader.Shown[m.ID].Text == want
	})
}

func TestTwoNodesChangeOneMessageAtOnce(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	hubs := []*peerHub{new(peerHub), new(peerHub), new(peerHub)}
	var nodes []store.Store
	for _, hub := range hubs {
		nodes = append(nodes, open(t, module, hub, few))
	}
	m := storetest.MustAppend(t, nodes[0], "r", ofKim(""+"."))[0]
	const each = 100
	var changing sync.WaitGroup
	for i, s := range nodes[:2] {
		changing.Go(func() {
			for n := range each {
				if _, err := s.Change(t.Context(), "r", m.ID, add(fmt.Sprintf("(%d %d)", i, n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changing.Wait()
	late := open(t, module, new(storetest.Hub), few)
	text := textOf(t, late, m)
	for i := range 2 {
		for n := range each {
			if got := strings.Count(text, fmt.Sprintf("(%d %d)", i, n)); got != 1 {
				t.Errorf("what node %d has added %d is there %d times", i, n, got)
			}
		}
	}
	for i, hub := range hubs {
		watch(t, hub, m, text)
		if got := textOf(t, nodes[i], m); got != text {
			t.Errorf("node %d reads %q, and another one %q", i, got, text)
		}
	}
}

func TestALateNodeNeverReadsAnOldText(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	limits := store.Limits{Count: 300, Rooms: 10}
	s := open(t, module, new(storetest.Hub), limits)
	m := storetest.MustAppend(t, s, "r", ofKim("old"))[0]
	gone := storetest.MustAppend(t, s, "r", ofKim("gone"))[0]
	reader := storetest.NewReader()
	catch(t, s, reader, store.ID{}, "r")
	start := s.State().Latest
	mustChange(t, s, m, edit("older"))
	mustChange(t, s, m, edit("new"))
	mustChange(t, s, gone, deletion)
	others := storetest.MustAppend(t, s, "r", ofKim("x"), ofKim("x"))
	for i := range 500 { // of other messages
		mustChange(t, s, others[i%2], add("y"))
	}
	for range 100 {
		storetest.MustAppend(t, s, "r", ofKim("z"))
	}
	_ = s.Close()
	flood(t, server, module.Stream)
	for _, late := range []store.Store{open(t, module, new(storetest.Hub), limits), open(t, module, new(storetest.Hub), limits)} {
		if text := textOf(t, late, m); text != "new" {
			t.Errorf("a late node reads %q", text)
		}
		again := reader.Clone()
		if n := catch(t, late, again, start, "r"); n != 2 && n != 4 {
			t.Errorf("one who was away is told of %d changes, want 2", n)
		}
		if got := again.Shown[m.ID].Text; got != "new" {
			t.Errorf("one who was away sees %q", got)
		}
		if _, shown := again.Shown[gone.ID]; shown {
			t.Error("one who was away sees what was deleted")
		}
		if got := mustChange(t, late, m, add("er")).Message.Post().Text; got != "newer" {
			t.Errorf("a late node changes the text to %q", got)
		}
		mustChange(t, late, m, edit("new"))
	}
}

// A node that reads slowly never sees revisions that others have replaced.
func TestANodeMissesRevisions(t *testing.T) {
	server := single(t)
	line := newWire(t, server.Addr().String())
	stream := newStream()
	hub := new(peerHub)
	away := open(t, &jetstream.Module{URLs: []string{line.url()}, Stream: stream}, hub, few)
	s := open(t, &jetstream.Module{URLs: urls(server), Stream: stream}, new(storetest.Hub), few)
	m := storetest.MustAppend(t, s, "r", ofKim("0"))[0]
	mustChange(t, s, m, add("1"))
	watch(t, hub, m, "01")
	line.separate()
	for i := range 30 {
		mustChange(t, s, m, add(fmt.Sprint(i%10)))
		storetest.MustAppend(t, s, "other", ofKim("x"))
	}
	line.join()
	watch(t, hub, m, textOf(t, s, m))
	waitFor(t, "the text", func() bool { return textOf(t, away, m) == textOf(t, s, m) })
	for _, forgotten := range hub.forgotten {
		t.Errorf("the node takes %s for incomplete", forgotten)
	}
}

func TestTheNonceOfAChangeHoldsAtAllNodes(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	a, b := open(t, module, new(storetest.Hub), few), open(t, module, new(storetest.Hub), few)
	m := storetest.MustAppend(t, a, "r", ofKim("x"))[0]
	once := add("y")
	once.Nonce = "n"
	var racing sync.WaitGroup
	for i := range 16 {
		racing.Go(func() {
			if _, err := []store.Store{a, b}[i%2].Change(t.Context(), "r", m.ID, once); err != nil {
				t.Error(err)
			}
		})
	}
	racing.Wait()
	for range 10 { // the stream keeps the last revision only
		mustChange(t, a, m, add("z"))
	}
	want := "xyzzzzzzzzzz"
	waitFor(t, "the text at the other node", func() bool { return textOf(t, b, m) == want })
	check := func(name string, s store.Store) {
		t.Helper()
		got, err := s.Change(t.Context(), "r", m.ID, once)
		if err != nil || !got.Repeat || got.Message == nil || got.Message.Post().Text != want {
			t.Errorf("%s answers a repeat with %+v, %v", name, got, err)
		}
		if text := textOf(t, s, m); text != want {
			t.Errorf("after a repeat %s reads %q", name, text)
		}
	}
	check("a", a)
	check("b", b)
	check("a late node", open(t, module, new(storetest.Hub), few))
	_, _ = a.Close(), b.Close()
	server.kill()
	server.start(t)
	check("a node after a restart of all", open(t, module, new(storetest.Hub), few))
}

// inFiles reports which files below a folder contain a text.
func inFiles(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestADeletedTextIsInNoFile(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	s := open(t, module, new(storetest.Hub), few)
	published := storetest.MustAppend(t, s, "r", ofKim("first-secret"))[0]
	changed := storetest.MustAppend(t, s, "r", ofKim("harmless"))[0]
	changed = mustChange(t, s, changed, edit("second-secret")).Message
	grown := storetest.MustAppend(t, s, "r", ofKim("third-secret"))[0]
	grown = mustChange(t, s, grown, store.Change{Kind: store.React, By: kim, Text: "👍"}).Message
	kept := storetest.MustAppend(t, s, "r", ofKim("what is kept"))[0]
	for _, text := range []string{"first-secret", "second-secret", "third-secret"} {
		if len(inFiles(t, server.options.StoreDir, text)) == 0 {
			t.Errorf("%s is in no file before it is deleted", text)
		}
	}
	mustChange(t, s, published, deletion)
	mustChange(t, s, changed, deletion)
	if err := s.Delete(t.Context(), grown.ID); err != nil {
		t.Fatal(err)
	}
	server.kill()
	for _, text := range []string{"first-secret", "second-secret", "third-secret"} {
		if files := inFiles(t, server.options.StoreDir, text); len(files) > 0 {
			t.Errorf("%s is still in %v", text, files)
		}
	}
	server.start(t)
	if text := textOf(t, open(t, module, new(storetest.Hub), few), kept); text != "what is kept" {
		t.Errorf("what is kept is read as %q", text)
	}
}

// subjectsOf returns how many messages the stream has on each of some subjects.
func subjectsOf(t *testing.T, server *natsServer, stream, filter string) map[string]uint64 {
	t.Helper()
	s, err := client(t, server.url()).Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), natsjs.WithSubjectFilter(fmt.Sprintf("sse_chat.%s.%s", stream, filter)))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Subjects
}

func TestRevisionsOfMessagesThatAreGoneArePurged(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	limits := store.Limits{Count: 100, Rooms: 10}
	s := open(t, module, new(storetest.Hub), limits)
	for i := range 50 {
		for _, room := range []string{"r", "forgotten", "small"} {
			m := storetest.MustAppend(t, s, room, ofKim("x"))[0]
			change := edit("y")
			if i%5 == 0 {
				change = deletion
			}
			mustChange(t, s, m, change)
		}
	}
	if got := subjectsOf(t, server, module.Stream, "revision.*.*"); len(got) != 150 {
		t.Errorf("%d messages have revisions, want 150", len(got))
	}
	if err := s.Forget(t.Context(), "forgotten"); err != nil {
		t.Fatal(err)
	}
	kept := storetest.MustAppend(t, s, "r", ofKim("x"))[0]
	mustChange(t, s, kept, edit("kept"))
	for range 99 {
		storetest.MustAppend(t, s, "r", ofKim("z"))
	}
	// the stream has one message more than readers see
	left := func(room string) int { return len(subjectsOf(t, server, module.Stream, "revision."+room+".*")) }
	waitFor(t, "old revisions are gone", func() bool {
		storetest.MustAppend(t, s, "another", ofKim("z"))
		return left("r") <= 2 && left("forgotten") == 0
	})
	if text := textOf(t, s, kept); text != "kept" {
		t.Errorf("what is kept is read as %q", text)
	}
	for range 102 {
		storetest.MustAppend(t, s, "r", ofKim("z"))
	}
	waitFor(t, "all are gone", func() bool { return left("r") == 0 })
	if left("small") != 50 {
		t.Errorf("%d revisions are left of a room that has lost nothing, want 50", left("small"))
	}
}

// A room that loses nothing but by deletions keeps a limited number of these, and tells
// who comes back later that something is missing.
func TestDeletionsAreBounded(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	s := open(t, module, new(storetest.Hub), few)
	first := storetest.MustAppend(t, s, "r", ofKim("x"))[0]
	for range 250 {
		mustChange(t, s, storetest.MustAppend(t, s, "r", ofKim("x"))[0], deletion)
	}
	waitFor(t, "old deletions are gone", func() bool {
		return len(subjectsOf(t, server, module.Stream, "revision.r.*")) <= 101
	})
	flood(t, server, module.Stream)
	for name, node := range map[string]store.Store{"the node": s, "a late one": open(t, module, new(storetest.Hub), few)} {
		page, err := node.After(t.Context(), store.Span{Rooms: []string{"r"}, After: first.ID, UpTo: node.State().Latest, Changes: true}, 1000)
		if err != nil || !page.Lost[0].After(first.ID) {
			t.Errorf("%s tells one who comes back that %v is lost, %v", name, page.Lost, err)
		}
		if text := textOf(t, node, first); text != "x" {
			t.Errorf("%s reads %q", name, text)
		}
	}
}

func TestAMessageThatGrowsLeavesOneMessage(t *testing.T) {
	server := single(t)
	module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
	s := open(t, module, new(storetest.Hub), few)
	m := storetest.MustAppend(t, s, "r", ofKim("."))[0]
	begin := time.Now()
	const n = 2000
	for range n {
		if _, err := s.Change(t.Context(), "r", m.ID, add(" token")); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(begin)
	stream, err := client(t, server.url()).Stream(t.Context(), module.Stream)
	if err != nil {
		t.Fatal(err)
	}
	state := stream.CachedInfo().State
	text := textOf(t, s, m)
	t.Logf("%d appends in %s leave %d messages and %d bytes in the stream, for a text of %d bytes", n, took, state.Msgs, state.Bytes, len(text))
	if state.Msgs != 2 || state.Bytes > uint64(len(text)+4<<10) {
		t.Errorf("the stream has %d messages and %d bytes", state.Msgs, state.Bytes)
	}
}

// A stream of the version before messages could change, and its messages.
func TestAnEarlyStreamIsUpgraded(t *testing.T) {
	server := single(t)
	js := client(t, server.url())
	name := newStream()
	_, err := js.CreateStream(t.Context(), natsjs.StreamConfig{
		Name: name, Subjects: []string{"sse_chat." + name + ".room.*", "sse_chat." + name + ".changes"},
		MaxMsgsPerSubject: 101, Duplicates: store.NonceLife, AllowDirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	msg := nats.NewMsg("sse_chat." + name + ".room.r")
	msg.Header.Set("Sse-Chat-Floor", "0")
	msg.Header.Set("Nats-Msg-Id", "r:n")
	msg.Data = []byte(`{"text":"early","nonce":"n"}`)
	for range 2 {
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	module := &jetstream.Module{URLs: urls(server), Stream: name}
	if s, err := module.Open("test", new(storetest.Hub), store.Limits{Count: 500, Rooms: 10}); err == nil {
		_ = s.Close()
		t.Error("a node with other limits joins")
	}
	s := open(t, module, new(storetest.Hub), few)
	ids, _ := readAll(t, s, store.ID{}, "r")
	if len(ids) != 1 {
		t.Fatalf("the stream has %v", ids)
	}
	m := &store.Message{ID: ids[0], Room: "r"}
	if _, err := s.Change(t.Context(), "r", m.ID, edit("x")); !errors.Is(err, store.ErrNotYours) {
		t.Errorf("a message without an owner is changed: %v", err)
	}
	moderated := edit("edited")
	moderated.Moderator = true
	mustChange(t, s, m, moderated)
	if text := textOf(t, open(t, module, new(storetest.Hub), few), m); text != "edited" {
		t.Errorf("another node reads %q", text)
	}
	mine := storetest.MustAppend(t, s, "r", ofKim("new"))[0]
	mustChange(t, s, mine, add("er"))
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if config := stream.CachedInfo().Config; len(config.Subjects) != 3 || !config.AllowRollup {
		t.Errorf("the stream is %+v", config)
	}
}

// disturbed has three nodes change messages while something happens to a cluster.
func disturbed(t *testing.T, open func(i int, hub store.Hub) store.Store, disturb func()) {
	t.Helper()
	hubs := []*peerHub{new(peerHub), new(peerHub), new(peerHub)}
	nodes := make([]store.Store, len(hubs))
	for i, hub := range hubs {
		nodes[i] = open(i, hub)
	}
	shared := storetest.MustAppend(t, nodes[0], "r", ofKim("."))[0]
	stop := make(chan struct{})
	acked := make([][]string, len(nodes))
	var changing sync.WaitGroup
	for i, s := range nodes {
		changing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				word := fmt.Sprintf("(%d %d)", i, n)
				mustChange(t, s, shared, add(word))
				acked[i] = append(acked[i], word)
			}
		})
	}
	time.Sleep(time.Second)
	disturb()
	time.Sleep(2 * time.Second)
	close(stop)
	changing.Wait()
	text := textOf(t, open(0, new(peerHub)), shared)
	total := 0
	for i := range acked {
		total += len(acked[i])
		for _, word := range acked[i] {
			if n := strings.Count(text, word); n != 1 {
				t.Errorf("%s is there %d times", word, n)
			}
		}
		watch(t, hubs[i], shared, text)
	}
	t.Logf("%d changes were made", total)
}

func TestTheLeaderIsKilledInMidChange(t *testing.T) {
	servers := cluster(t, 3)
	module := &jetstream.Module{URLs: urls(servers...), Stream: newStream(), Replicas: 3}
	disturbed(t, func(_ int, hub store.Hub) store.Store { return open(t, module, hub, few) }, func() {
		waitForPeers(t, servers, module.Stream)
		leader := leaderOf(t, servers, module.Stream)
		leader.kill()
		time.Sleep(2 * time.Second)
		leader.start(t)
		leaderOf(t, servers, module.Stream)
	})
}

func TestANodeIsCutOffInMidChange(t *testing.T) {
	servers := cluster(t, 3)
	stream := newStream()
	line := newWire(t, servers[1].Addr().String())
	disturbed(t, func(i int, hub store.Hub) store.Store {
		list := urls(servers...)
		if i == 1 {
			list = []string{line.url()}
		}
		return open(t, &jetstream.Module{URLs: list, Stream: stream, Replicas: 3}, hub, few)
	}, func() {
		waitForPeers(t, servers, stream)
		line.separate()
		time.Sleep(6 * time.Second)
		line.join()
	})
}
