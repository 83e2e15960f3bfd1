package ssechat

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// line is a store whose notices the test hands on. What a real one does with
// them is tested in store/jetstream/clustertest.
type line struct {
	store.Store
	node string

	mu    sync.Mutex // guards all below
	peers []*broker
	sent  []notice
	dead  error         // of each notice that is sent
	hangs chan struct{} // closed when the network goes on; nil if it does
}

// Tell implements [store.Relay].
func (l *line) Tell(data []byte) error {
	l.mu.Lock()
	hangs := l.hangs
	l.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return l.dead
	}
	var n notice
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	l.sent = append(l.sent, n)
	for _, peer := range l.peers {
		peer.Told(l.node, data)
	}
	return nil
}

func (l *line) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// take returns what was sent since the last call.
func (l *line) take() []notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := l.sent
	l.sent = nil
	return sent
}

// newLinkedBrokers returns nodes that tell each other all, but not messages.
func newLinkedBrokers(t *testing.T, n int, limits store.Limits) (nodes []*broker, lines []*line) {
	t.Helper()
	for i := range n {
		l := &line{node: fmt.Sprint("node", i)}
		b, err := openBroker(limits, func(hub store.Hub, limits store.Limits) (store.Store, error) {
			l.Store = memory.Open(hub, limits)
			return l, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			select {
			case <-b.done:
			default:
				_ = b.close()
			}
		})
		nodes, lines = append(nodes, b), append(lines, l)
	}
	for i, l := range lines {
		l.set(func() {
			for j, b := range nodes {
				if j != i {
					l.peers = append(l.peers, b)
				}
			}
		})
	}
	return nodes, lines
}

// lastPresence returns what a watcher has heard last.
func (r *reader) lastPresence(t *testing.T) (last presenceData) {
	t.Helper()
	for _, e := range parseStream(r.take()) {
		if e.name == "presence" {
			last = e.presence(t)
		}
	}
	return last
}

func TestPresenceHoldsForAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, _ := newLinkedBrokers(t, 2, plenty)
		w := nodes[0].read(t, watcher("kim", "a"))
		there := nodes[1].read(t, named("lee", "a"))
		twice := defaults("a")
		twice.identity = identity{"kay", personByName("kay")}
		devices := []*reader{nodes[0].read(t, twice), nodes[1].read(t, twice)}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if p := w.lastPresence(t); p.Count != 3 || !slices.Equal(p.Names, []string{"kay", "kim", "lee"}) || p.Unnamed != 0 {
			t.Errorf("of three people at two nodes, one of them at both, %+v is told", p)
		}
		there.stop()
		devices[0].stop()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if p := w.lastPresence(t); p.Count != 2 || !slices.Equal(p.Names, []string{"kay", "kim"}) {
			t.Errorf("when one has left, and another one with one of two devices, %+v is told", p)
		}
		devices[1].stop()
		w.stop()
	})
}

// A room that is dropped and made anew within the 5 s for which a departed
// reader is counted was told to be empty when these were over.
func TestARoomThatIsMadeAnewIsNotToldToBeEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, lines := newLinkedBrokers(t, 2, store.Limits{Count: 10, Rooms: 1})
		w := nodes[1].read(t, watcher("", "a"))
		for _, room := range []string{"a", "b"} {
			nodes[0].read(t, defaults(room)).stop()
			time.Sleep(time.Second)
		}
		back := nodes[0].read(t, named("kim", "a"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if p := w.lastPresence(t); p.Count != 2 || !slices.Equal(p.Names, []string{"kim"}) {
			t.Errorf("at another node %+v is told, want two", p)
		}
		if rooms := nodes[1].peers.by["node0"].rooms; len(rooms) != 1 || rooms["a"].Count != 1 {
			t.Errorf("another node knows of %+v, want one reader of a", rooms)
		}
		if n := len(lines[0].take()); n > 20 {
			t.Errorf("%d notices were sent", n)
		}
		back.stop()
		w.stop()
	})
}

// While the network hangs, all goes on that needs no network, and nothing piles
// up.
func TestANetworkThatHangsStopsNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, lines := newLinkedBrokers(t, 2, plenty)
		b, l := nodes[0], lines[0]
		w := b.read(t, watcher("kim", "a"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.take()
		l.take()

		goesOn := make(chan struct{})
		l.set(func() { l.hangs = goesOn })
		var others []*reader
		for i := range 100 {
			others = append(others, b.read(t, named("lee", "a", fmt.Sprint("new", i))))
			b.Told("node1", []byte(`{"number":9,"rooms":[{"room":"a","count":1}]}`)) // which asks for all
			time.Sleep(100 * time.Millisecond)
		}
		b.kick("max")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		got := w.take()
		if !strings.Contains(got, "event: ping") || !strings.Contains(got, `"count":102`) {
			t.Errorf("a watcher heard %q, want a sign of life and 102 people", got)
		}
		b.mustPublish(t, "a", "hello")
		synctest.Wait()
		if got := w.take(); !strings.Contains(got, "hello") {
			t.Errorf("a message was published, and a reader got %q", got)
		}

		l.set(func() { l.hangs = nil })
		close(goesOn)
		time.Sleep(time.Second)
		synctest.Wait()
		sent := l.take()
		kick := slices.IndexFunc(sent, func(n notice) bool { return n.Kick == "max" })
		if kick < 0 || kick > 1 || len(sent) > 10 {
			t.Errorf("then %d notices were sent, the kick as number %d", len(sent), kick)
		}
		if there := nodes[1].peers.in("a", time.Now()); there == nil || there.count != 101 {
			t.Errorf("another node knows of %+v, want 101 readers", there)
		}
		for _, r := range append(others, w) {
			r.stop()
		}
	})
}

func TestAKickIsToldWhenTheNetworkIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, lines := newLinkedBrokers(t, 2, plenty)
		victim := nodes[1].read(t, named("kim", "a"))
		stays := nodes[0].read(t, named("lee", "a"))
		time.Sleep(2 * time.Second)
		lines[0].set(func() { lines[0].dead = errors.New("not connected") })
		nodes[0].kick("kim")
		more := nodes[0].read(t, named("max", "a"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if victim.over() != "" {
			t.Fatalf("over a dead network kim's stream has ended for %q", victim.over())
		}
		lines[0].set(func() { lines[0].dead = nil })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if victim.over() != endKicked {
			t.Errorf("kim's stream has ended for %q, want %q", victim.over(), endKicked)
		}
		if there := nodes[1].peers.in("a", time.Now()); there == nil || there.count != 2 {
			t.Errorf("the other node knows of %+v, want two readers; it was sent %+v", there, lines[0].take())
		}
		// but not for ever
		lines[0].set(func() { lines[0].dead = errors.New("not connected") })
		nodes[0].kick("ann")
		time.Sleep(2 * orderLife)
		lines[0].set(func() { lines[0].dead = nil; lines[0].sent = nil })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if slices.ContainsFunc(lines[0].take(), func(n notice) bool { return n.Kick != "" }) {
			t.Error("a kick was told when it was over")
		}
		stays.stop()
		more.stop()
	})
}

func TestAHubThatClosesDoesNotWaitForTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, lines := newLinkedBrokers(t, 2, plenty)
		r := nodes[0].read(t, defaults("a"))
		time.Sleep(2 * time.Second)
		r.stop()
		synctest.Wait()
		if err := nodes[0].close(); err != nil {
			t.Fatal(err)
		}
		if sent := lines[0].take(); !slices.ContainsFunc(sent, func(n notice) bool { return n.Bye }) || len(nodes[1].peers.by) != 0 {
			t.Errorf("a hub that closed told %+v", sent)
		}
		goesOn := make(chan struct{})
		lines[1].set(func() { lines[1].hangs = goesOn })
		begin := time.Now()
		if err := nodes[1].close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > farewell {
			t.Errorf("closing took %s", took)
		}
		close(goesOn)
	})
}

// Many rooms are told as a whole, and what is told of them stays bounded.
func TestManyRoomsAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, lines := newLinkedBrokers(t, 2, store.Limits{Count: 1, Rooms: 100_000})
		goesOn := make(chan struct{})
		synctest.Wait()
		lines[0].set(func() { lines[0].hangs = goesOn })
		const rooms = 2 * maxUntoldRooms
		var readers []*subscriber
		for i := range rooms / maxRooms {
			var names []string
			for j := range maxRooms {
				names = append(names, fmt.Sprint("r", i*maxRooms+j))
			}
			readers = append(readers, nodes[0].mustSubscribe(t, defaults(names...)))
		}
		if n := len(nodes[0].outbox.rooms); n > maxUntoldRooms {
			t.Errorf("%d rooms wait to be told", n)
		}
		lines[0].set(func() { lines[0].hangs = nil })
		close(goesOn)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(nodes[1].peers.by["node0"].rooms); n != rooms {
			t.Errorf("another node knows of readers in %d rooms, want %d", n, rooms)
		}
		for _, s := range readers {
			s.close()
		}
	})
}
