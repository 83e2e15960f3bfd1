package clustertest

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// smallHook is a node that tells a backend, and retains 10 messages of each of some rooms.
func smallHook(t *testing.T, nats []string, b *chattest.Backend, rooms int) *caddyNode {
	t.Helper()
	block := strings.Replace(directive(10, nats, ""), "{\n", fmt.Sprintf("{\n\t\tmax_rooms %d\n\t\twebhook %s s3cret\n", rooms, b.URL), 1)
	node := startNode(t, block)
	probe(t, node, b)
	return node
}

// TestASenderThatLags freezes a node that tells the backend, while others publish more than
// is retained.
func TestASenderThatLags(t *testing.T) {
	nats, b := single(t), chattest.NewBackend(t, "s3cret")
	node := smallHook(t, urls(nats), b, 100)
	other := open(t, &jetstream.Module{URLs: urls(nats), Stream: "SSE_CHAT_default"}, new(peerHub), store.Limits{Count: 10, Rooms: 100})
	if err := syscall.Kill(node.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		drafts := make([]store.Draft, 100)
		for j := range drafts {
			drafts[j] = store.Draft{Text: fmt.Sprint(100*i + j), Nonce: fmt.Sprint("n", 100*i+j)}
		}
		if _, err := other.Append(t.Context(), "tea", drafts); err != nil {
			t.Error(err)
			break
		}
	}
	time.Sleep(4 * time.Second) // until it takes its consumer for dead, and not the lease for lost
	if err := syscall.Kill(node.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, other, "tea", "last")
	waitFor(t, "the backend has the last message", func() bool { return slices.Contains(b.Texts("tea"), "last") })
	if n := len(b.Texts("tea")); n < 6001 {
		waitFor(t, "the backend is told of a gap", func() bool { return slices.Contains(b.Gaps(), "expired") })
	} else {
		t.Error("the node has not lagged behind")
	}
}

// TestRoomsThatAreDropped tells a backend of more rooms than there may be.
func TestRoomsThatAreDropped(t *testing.T) {
	nats, b := single(t), chattest.NewBackend(t, "s3cret")
	node := smallHook(t, urls(nats), b, 5)
	for i := range 20 {
		room := fmt.Sprint("r", i)
		postUntilOK(t, node.URL, room, "x", room)
		waitFor(t, "the backend has "+room, func() bool { return len(b.Texts(room)) == 1 })
	}
	if gaps := b.Gaps(); len(gaps) > 0 {
		t.Errorf("it was told of gaps although it has all: %q", gaps)
	}
}

// TestTheStreamOfTheCursorsIsDeleted has a node go on where it was.
func TestTheStreamOfTheCursorsIsDeleted(t *testing.T) {
	nats, stream := single(t), newStream()
	s := open(t, &jetstream.Module{URLs: urls(nats), Stream: stream}, new(peerHub), storetest.Plenty)
	c := openCursor(t, t.Context(), s)
	saved := mustAppend(t, s, "tea", "1")
	if err := c.Save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "tea", "2")
	if err := client(t, nats.url()).DeleteStream(t.Context(), stream+"_CURSORS"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	c = openCursor(t, t.Context(), s)
	if c.At() != saved {
		t.Errorf("it is at %v, was saved at %v", c.At(), saved)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.(store.Cursors).DropCursor(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if c = openCursor(t, t.Context(), s); c.At() != s.State().Latest {
		t.Errorf("after it was dropped it is at %v, want %v", c.At(), s.State().Latest)
	}
	_ = c.Close(t.Context())
}
