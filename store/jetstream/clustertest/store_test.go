package clustertest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// peerHub is a hub that is told of peers and of what is missing.
type peerHub struct {
	storetest.Hub
	mu        sync.Mutex // guards all below
	told      []string
	missed    []bool
	latest    store.ID // as of the last that was missed
	reached   []error
	deleted   []store.ID
	forgotten []string
	began     []store.ID
}

func (h *peerHub) Told(from string, notice []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, string(notice))
}

func (h *peerHub) Began(latest store.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = append(h.began, latest)
}

func (h *peerHub) Missed(latest store.ID, rollback bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.missed, h.latest = append(h.missed, rollback), latest
}

func (*peerHub) Skipped(store.ID) {}

func (h *peerHub) Reached(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reached = append(h.reached, err)
}

func (h *peerHub) Deleted(_ string, id, _ store.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deleted = append(h.deleted, id)
}

func (h *peerHub) Forgotten(room string, _, _ store.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten = append(h.forgotten, room)
}

// has waits until something is true of what the hub was told.
func (h *peerHub) has(t *testing.T, what string, ok func() bool) {
	t.Helper()
	waitFor(t, what, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return ok()
	})
}

func idsOf(messages []*store.Message) []store.ID {
	list := make([]store.ID, len(messages))
	for i, m := range messages {
		list[i] = m.ID
	}
	return list
}

// readAll reads all messages of rooms after an id.
func readAll(t *testing.T, s store.Store, after store.ID, rooms ...string) ([]store.ID, []store.ID) {
	t.Helper()
	page, err := s.After(t.Context(), store.Span{Rooms: rooms, After: after, UpTo: s.State().Latest}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return idsOf(page.Messages), page.Lost
}

// mustAppend publishes until that succeeds, as a client would.
func mustAppend(t *testing.T, s store.Store, room, text string) store.ID {
	t.Helper()
	var id store.ID
	draft := store.Draft{Text: text, Nonce: fmt.Sprint("n", time.Now().UnixNano())}
	waitFor(t, "storing "+text, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		receipts, err := s.Append(ctx, room, []store.Draft{draft})
		if err == nil {
			id = receipts[0].Message.ID
		}
		return err == nil
	})
	return id
}

var few = store.Limits{Count: 100, Rooms: 100}

func TestNodesHaveOneOrderAndTheSameIDs(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hubs, stores := make([]*peerHub, 3), make([]store.Store, 3)
	for i := range stores {
		hubs[i] = new(peerHub)
		stores[i] = open(t, module, hubs[i], storetest.Plenty)
	}
	const each = 100
	var publishing sync.WaitGroup
	for i, s := range stores {
		publishing.Go(func() {
			for n := range each {
				storetest.MustAppend(t, s, fmt.Sprint("r", n%3), storetest.Text("%d from %d", n, i))
			}
		})
	}
	publishing.Wait()
	for i, h := range hubs {
		waitFor(t, fmt.Sprint("all messages at node ", i), func() bool { return len(h.Delivered()) == 3*each })
		if !slices.Equal(idsOf(h.Delivered()), idsOf(hubs[0].Delivered())) {
			t.Errorf("node %d delivered in another order than node 0", i)
		}
		for n, m := range h.Delivered() {
			if first := hubs[0].Delivered()[n]; string(m.Frame()) != string(first.Frame()) {
				t.Fatalf("node %d delivered %q, node 0 %q", i, m.Frame(), first.Frame())
			}
		}
	}
	late := open(t, module, new(storetest.Hub), storetest.Plenty)
	if ids, _ := readAll(t, late, store.ID{}, "r0", "r1", "r2"); !slices.Equal(ids, idsOf(hubs[0].Delivered())) {
		t.Errorf("a node that joins late reads %d other ids than were delivered", len(ids))
	}
}

func TestANonceHoldsAtAllNodes(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	a, b := open(t, module, new(storetest.Hub), few), open(t, module, new(storetest.Hub), few)
	draft := store.Draft{Text: "once", Nonce: "n"}
	var mu sync.Mutex
	ids := make(map[store.ID]bool)
	var racing sync.WaitGroup
	for i := range 16 {
		racing.Go(func() {
			s := []store.Store{a, b}[i%2]
			m := storetest.MustAppend(t, s, "r", draft)[0]
			mu.Lock()
			defer mu.Unlock()
			ids[m.ID] = true
		})
	}
	racing.Wait()
	batch, err := b.Append(t.Context(), "r", []store.Draft{{Text: "x"}, draft, {Text: "y"}})
	if err != nil || !batch[1].Repeat {
		t.Errorf("a batch with a repeat is answered %+v, %v", batch, err)
	} else {
		ids[batch[1].Message.ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("one nonce was stored as %v", ids)
	}
	// after all nodes have gone
	_, _ = a.Close(), b.Close()
	c := open(t, module, new(storetest.Hub), few)
	if again := storetest.MustAppend(t, c, "r", draft)[0]; !ids[again.ID] {
		t.Errorf("after a restart a repeat is answered %v, want %v", again.ID, ids)
	}
}

func TestWhatIsRemovedIsRemovedAtAllNodes(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hub := new(peerHub)
	a, b := open(t, module, new(storetest.Hub), few), open(t, module, hub, few)
	var sent []store.ID
	for i := range 5 {
		sent = append(sent, storetest.MustAppend(t, a, "r", storetest.Text("%d", i))[0].ID)
	}
	other := storetest.MustAppend(t, a, "other", storetest.Text("x"))[0].ID
	if err := a.Delete(t.Context(), sent[2]); err != nil {
		t.Fatal(err)
	}
	hub.has(t, "the deletion", func() bool { return slices.Equal(hub.deleted, []store.ID{sent[2]}) })
	if ids, lost := readAll(t, b, store.ID{}, "r"); !slices.Equal(ids, slices.Concat(sent[:2], sent[3:])) || !lost[0].IsZero() {
		t.Errorf("the other node reads %v and has lost %v", ids, lost)
	}
	if err := b.Delete(t.Context(), sent[2]); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second deletion: %v", err)
	}
	if err := a.Forget(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	hub.has(t, "the room is forgotten", func() bool { return slices.Equal(hub.forgotten, []string{"r"}) })
	late := open(t, module, new(storetest.Hub), few)
	for name, s := range map[string]store.Store{"a": a, "b": b, "a late one": late} {
		ids, lost := readAll(t, s, store.ID{}, "r", "other")
		if !slices.Equal(ids, []store.ID{other}) || lost[0] != sent[4] || !lost[1].IsZero() {
			t.Errorf("node %s reads %v and has lost %v; want %v and %v", name, ids, lost, other, sent[4])
		}
	}
}

func TestANewNodeKnowsWhatWasLost(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	limits := store.Limits{Count: 150, Rooms: 100}
	a := open(t, module, new(storetest.Hub), limits)
	var sent []store.ID
	quiet := storetest.MustAppend(t, a, "quiet", storetest.Text("x"))[0].ID
	for i := range 400 {
		sent = append(sent, storetest.MustAppend(t, a, "busy", storetest.Text("%d", i))[0].ID)
	}
	b := open(t, module, new(storetest.Hub), limits)
	ids, lost := readAll(t, b, store.ID{}, "busy", "quiet", "empty")
	if want := append([]store.ID{quiet}, sent[250:]...); !slices.Equal(ids, want) {
		t.Errorf("a new node reads %d messages from %v, want %d from %v", len(ids), ids[0], len(want), want[0])
	}
	if want := []store.ID{sent[249], {}, {}}; !slices.Equal(lost, want) {
		t.Errorf("a new node says %v is lost, want %v", lost, want)
	}
}

// A room that was there when a node joined, and is gone since, is none of those
// that it counts.
func TestALateNodeMakesRoom(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	limits := store.Limits{Count: 100, Rooms: 2}
	a := open(t, module, new(storetest.Hub), limits)
	gone := storetest.MustAppend(t, a, "r", storetest.Text("x"))[0].ID
	storetest.MustAppend(t, a, "s", storetest.Text("x"))
	hub := new(peerHub)
	late := open(t, module, hub, limits)
	storetest.MustAppend(t, a, "t", storetest.Text("x")) // in place of r
	hub.has(t, "that a room is gone", func() bool { return len(hub.forgotten) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, room := range []string{"u", "r"} {
		if _, err := late.Append(ctx, room, []store.Draft{storetest.Text("y")}); err != nil {
			t.Fatalf("a message in the new room %s: %v", room, err)
		}
	}
	if ids, lost := readAll(t, late, store.ID{}, "r"); len(ids) != 1 || lost[0] != gone {
		t.Errorf("%v are in the room again, and %v is lost, want one and %v", ids, lost, gone)
	}
}

func TestNoticesReachTheOthersOnly(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hubs := []*peerHub{new(peerHub), new(peerHub)}
	a, b := open(t, module, hubs[0], few), open(t, module, hubs[1], few)
	for _, s := range []store.Store{a, b} {
		if err := s.(store.Relay).Tell([]byte("from one")); err != nil {
			t.Fatal(err)
		}
	}
	for i, h := range hubs {
		h.has(t, fmt.Sprint("the notice at ", i), func() bool { return len(h.told) > 0 })
	}
	js := client(t, nats.url())
	info, err := js.Stream(t.Context(), module.Stream)
	if err != nil || info.CachedInfo().State.Msgs != 0 {
		t.Errorf("the stream holds notices: %+v, %v", info.CachedInfo().State, err)
	}
	for i, h := range hubs {
		h.mu.Lock()
		if len(h.told) != 1 {
			t.Errorf("node %d was told %v", i, h.told)
		}
		h.mu.Unlock()
	}
}

func TestServersThatAreAwayAtFirst(t *testing.T) {
	nats := &natsServer{options: server.Options{Host: "127.0.0.1", Port: freePort(t), JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}}
	hub := new(peerHub)
	s := open(t, &jetstream.Module{URLs: urls(nats), Stream: newStream()}, hub, few)
	if _, err := s.Append(t.Context(), "r", []store.Draft{{Text: "x"}}); err == nil {
		t.Fatal("a message was stored while there is no server")
	}
	nats.start(t)
	t.Cleanup(func() { nats.kill() })
	hub.has(t, "the log's beginning", func() bool { return len(hub.began) == 1 })
	mustAppend(t, s, "r", "y")
	if n := len(hub.Delivered()); n != 1 {
		t.Errorf("%d messages were delivered, want 1", n)
	}
}

func TestWhatNoWaitingHelps(t *testing.T) {
	plain := single(t, func(o *server.Options) { o.JetStream = false })
	locked := single(t, func(o *server.Options) { o.Username, o.Password = "kim", "tea" })
	nats := single(t)
	restricted := single(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "kim", Password: "tea", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"nothing"}},
		}}}
	})
	taken := newStream()
	open(t, &jetstream.Module{URLs: urls(nats), Stream: taken}, new(storetest.Hub), store.Limits{Count: 500, Rooms: 10})
	for _, test := range []struct {
		name   string
		module jetstream.Module
		want   string
	}{
		{"a server without JetStream", jetstream.Module{URLs: urls(plain)}, "not enabled"},
		{"no password", jetstream.Module{URLs: urls(locked)}, "Authorization Violation"},
		{"a wrong password", jetstream.Module{URLs: []string{"nats://kim:wrong@" + locked.Addr().String()}}, "Authorization Violation"},
		{"no permission", jetstream.Module{URLs: []string{"nats://kim:tea@" + restricted.Addr().String()}}, "does not permit"},
		{"other limits", jetstream.Module{URLs: urls(nats), Stream: taken}, "max_msgs_per_subject is 501 and should be 101"},
		{"more replicas than servers", jetstream.Module{URLs: urls(nats), Replicas: 3}, "replicas > 1 not supported"},
		{"credentials that are not there", jetstream.Module{URLs: urls(nats), Credentials: "/nowhere"}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin := time.Now()
			s, err := test.module.Open("test", new(storetest.Hub), few)
			if err == nil {
				_ = s.Close()
				t.Fatal("the store opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %q, want %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), "wrong@") || strings.Contains(err.Error(), ":tea@") {
				t.Errorf("the error %q tells a password", err)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("that took %s", took)
			}
		})
	}
}

func TestALogThatWasReplaced(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hub := new(peerHub)
	s := open(t, module, hub, few)
	var old []store.ID
	for i := range 5 {
		old = append(old, mustAppend(t, s, "r", fmt.Sprint("old ", i)))
	}
	js := client(t, nats.url())
	stream, err := js.Stream(t.Context(), module.Stream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := js.DeleteStream(t.Context(), module.Stream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	hub.has(t, "the rollback", func() bool { return slices.Equal(hub.missed, []bool{true}) })
	fresh := mustAppend(t, s, "r", "new")
	if !fresh.After(old[4]) {
		t.Errorf("id %v is not newer than %v", fresh, old[4])
	}
	witness := s.(store.Witness)
	for _, id := range append(old, fresh.Next()) {
		if known, err := witness.Witness(t.Context(), id); err != nil || known {
			t.Errorf("Witness(%v) = %v, %v, but it is of another log", id, known, err)
		}
	}
	if known, err := witness.Witness(t.Context(), fresh); err != nil || !known {
		t.Errorf("Witness(%v) = %v, %v", fresh, known, err)
	}
	if ids, _ := readAll(t, s, store.ID{}, "r"); !slices.Equal(ids, []store.ID{fresh}) {
		t.Errorf("the log holds %v, want %v", ids, fresh)
	}
}

// A stream begins at an id that no message may have; whoever resumes there is
// no stranger, at no node.
func TestAStreamMayResumeWhereItBegan(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	s := open(t, module, new(peerHub), few)
	knows := func(s store.Store, id store.ID, want bool) {
		t.Helper()
		if known, err := s.(store.Witness).Witness(t.Context(), id); err != nil || known != want {
			t.Errorf("Witness(%v) = %v, %v, want %v", id, known, err, want)
		}
	}
	knows(s, store.ID{}, true)
	var ids []store.ID
	for i := range 6 {
		ids = append(ids, mustAppend(t, s, fmt.Sprint("r", i%2), "x"))
		time.Sleep(3 * time.Millisecond) // so that ids differ in their milliseconds
	}
	if err := s.Delete(t.Context(), ids[3]); err != nil {
		t.Fatal(err)
	}
	for _, node := range []store.Store{s, open(t, module, new(peerHub), few)} {
		knows(node, store.ID{}, true)
		for n := 1; n <= 3; n++ {
			for _, rooms := range [][]string{{"r0"}, {"r1"}, {"r0", "r1"}} {
				tail, err := node.Tail(t.Context(), rooms, ids[5], n)
				if err != nil {
					t.Fatal(err)
				}
				knows(node, tail.Start, true)
			}
		}
		knows(node, ids[2], true)
		knows(node, store.ID{Ms: ids[2].Ms - 1, N: ids[2].N}, false)
		knows(node, store.ID{Ms: ids[4].Ms, N: ids[1].N}, false)
		knows(node, store.ID{Ms: ids[0].Ms - 1}, false)
		knows(node, ids[5].Next(), false)
	}
}

func TestALogThatIsGoneIsMadeAnew(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hub := new(peerHub)
	s := open(t, module, hub, few)
	mustAppend(t, s, "r", "old")
	if err := client(t, nats.url()).DeleteStream(t.Context(), module.Stream); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "r", "new")
	hub.has(t, "the rollback", func() bool { return slices.Contains(hub.missed, true) })
}

func TestALogThatWasRestoredFromAnOlderState(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	hub := new(peerHub)
	s := open(t, module, hub, few)
	kept := mustAppend(t, s, "r", "kept")
	nats.kill()
	saved := filepath.Join(t.TempDir(), "saved")
	copyDir(t, saved, nats.options.StoreDir)
	nats.start(t)
	gone := []store.ID{mustAppend(t, s, "r", "gone"), mustAppend(t, s, "r", "gone too")}
	nats.kill()
	if err := os.RemoveAll(nats.options.StoreDir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, nats.options.StoreDir, saved)
	nats.start(t)
	// what a reader has read already is older than the log's end, or it would
	// not see what follows
	hub.has(t, "the rollback", func() bool { return slices.Contains(hub.missed, true) && hub.latest.After(gone[1]) })
	fresh := mustAppend(t, s, "r", "fresh")
	mustAppend(t, s, "r", "fresh too")
	for _, id := range gone {
		if known, err := s.(store.Witness).Witness(t.Context(), id); err != nil || known {
			t.Errorf("Witness(%v) = %v, %v, but the log has lost it", id, known, err)
		}
	}
	ids, _ := readAll(t, s, store.ID{}, "r")
	if len(ids) != 3 || ids[0] != kept || ids[1] != fresh {
		t.Errorf("the log holds %v, want %v, %v and one more", ids, kept, fresh)
	}
	if !fresh.After(gone[1]) {
		t.Errorf("id %v is not newer than %v", fresh, gone[1])
	}
}

func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
}

func TestWhatANodeMissesWhileItIsAway(t *testing.T) {
	nats := single(t)
	line := newWire(t, nats.Addr().String())
	stream := newStream()
	hub := new(peerHub)
	hub.Read("busy", true)
	hub.Read("quiet", true)
	away := open(t, &jetstream.Module{URLs: []string{line.url()}, Stream: stream}, hub, few)
	other := open(t, &jetstream.Module{URLs: urls(nats), Stream: stream}, new(storetest.Hub), few)
	before := mustAppend(t, away, "busy", "before")
	mustAppend(t, away, "quiet", "before")
	line.separate()
	var flood []store.ID
	for i := range 300 {
		flood = append(flood, storetest.MustAppend(t, other, "busy", storetest.Text("%d", i))[0].ID)
	}
	line.join()
	after := mustAppend(t, away, "quiet", "after")
	hub.has(t, "word of what the busy room has lost", func() bool { return slices.Equal(hub.forgotten, []string{"busy"}) })
	ids, lost := readAll(t, away, before, "busy", "quiet")
	if len(ids) != 102 || ids[101] != after || !slices.Equal(ids[1:101], flood[200:]) {
		t.Errorf("%d messages are left, want 102 that end with %v", len(ids), after)
	}
	if lost[0] != flood[199] || !lost[1].IsZero() {
		t.Errorf("%v is lost, want %v and nothing", lost, flood[199])
	}
}

func TestTheStreamChangesWithALimit(t *testing.T) {
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	s := open(t, module, new(storetest.Hub), few)
	s.Limit(store.Limits{Count: 1000, Age: time.Hour, Rooms: 100})
	stream, err := client(t, nats.url()).Stream(t.Context(), module.Stream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	want := natsjs.StreamConfig{MaxMsgsPerSubject: 1001, MaxAge: time.Hour}
	if config.MaxMsgsPerSubject != want.MaxMsgsPerSubject || config.MaxAge != want.MaxAge {
		t.Errorf("the stream keeps %d messages for %s", config.MaxMsgsPerSubject, config.MaxAge)
	}
	if _, err := module.Open("test", new(storetest.Hub), few); err == nil {
		t.Error("a node with other limits joins")
	}
}
