package hub

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

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/nodes"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/memory"
)

// line is a store whose notices the test hands on. What a real one does with
// them is tested in store/jetstream/clustertest.
type line struct {
	store.Store
	node string

	mu    sync.Mutex // guards all below
	peers []*Hub
	sent  []nodes.Notice
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
	var n nodes.Notice
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
func (l *line) take() []nodes.Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := l.sent
	l.sent = nil
	return sent
}

// newLinkedHubs returns hubs that tell each other all, but not messages.
func newLinkedHubs(t *testing.T, n int, limits store.Limits) (hubs []*Hub, lines []*line) {
	t.Helper()
	for i := range n {
		l := &line{node: fmt.Sprint("node", i)}
		b, err := Open(limits, func(hub store.Hub, limits store.Limits) (store.Store, error) {
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
				_ = b.Close()
			}
		})
		hubs, lines = append(hubs, b), append(lines, l)
	}
	for i, l := range lines {
		l.set(func() {
			for j, b := range hubs {
				if j != i {
					l.peers = append(l.peers, b)
				}
			}
		})
	}
	return hubs, lines
}

// lastPresence returns what a watcher has heard last.
func (r *reader) lastPresence(t *testing.T) (last chattest.PresenceData) {
	t.Helper()
	for _, e := range chattest.ParseStream(r.take()) {
		if e.Name == "presence" {
			last = e.Presence(t)
		}
	}
	return last
}

func TestPresenceHoldsForAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs, _ := newLinkedHubs(t, 2, plenty)
		w := hubs[0].read(t, watcher("kim", "a"))
		there := hubs[1].read(t, named("lee", "a"))
		twice := defaults("a")
		twice.Identity = presence.Identity{Name: "kay", Person: presence.PersonByName("kay")}
		devices := []*reader{hubs[0].read(t, twice), hubs[1].read(t, twice)}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if p := w.lastPresence(t); p.Count != 3 || !slices.Equal(p.Names, []string{"kay", "kim", "lee"}) || p.Unnamed != 0 {
			t.Errorf("of three people at two hubs, one of them at both, %+v is told", p)
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
		hubs, lines := newLinkedHubs(t, 2, store.Limits{Count: 10, Rooms: 1})
		w := hubs[1].read(t, watcher("", "a"))
		for _, room := range []string{"a", "b"} {
			hubs[0].read(t, defaults(room)).stop()
			time.Sleep(time.Second)
		}
		back := hubs[0].read(t, named("kim", "a"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if p := w.lastPresence(t); p.Count != 2 || !slices.Equal(p.Names, []string{"kim"}) {
			t.Errorf("at another node %+v is told, want two", p)
		}
		if a, b := hubs[1].peers.In("a", time.Now()), hubs[1].peers.In("b", time.Now()); a == nil || a.Count != 1 || b != nil {
			t.Errorf("another node knows of %+v in a and %+v in b, want one reader in a", a, b)
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
		hubs, lines := newLinkedHubs(t, 2, plenty)
		b, l := hubs[0], lines[0]
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
		b.Kick("max")
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
		kick := slices.IndexFunc(sent, func(n nodes.Notice) bool { return n.Kick == "max" })
		if kick < 0 || kick > 1 || len(sent) > 10 {
			t.Errorf("then %d notices were sent, the kick as number %d", len(sent), kick)
		}
		if there := hubs[1].peers.In("a", time.Now()); there == nil || there.Count != 101 {
			t.Errorf("another node knows of %+v, want 101 readers", there)
		}
		for _, r := range append(others, w) {
			r.stop()
		}
	})
}

func TestAKickIsToldWhenTheNetworkIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs, lines := newLinkedHubs(t, 2, plenty)
		victim := hubs[1].read(t, named("kim", "a"))
		stays := hubs[0].read(t, named("lee", "a"))
		time.Sleep(2 * time.Second)
		lines[0].set(func() { lines[0].dead = errors.New("not connected") })
		hubs[0].Kick("kim")
		more := hubs[0].read(t, named("max", "a"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if victim.Over() != "" {
			t.Fatalf("over a dead network kim's stream has ended for %q", victim.Over())
		}
		lines[0].set(func() { lines[0].dead = nil })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if victim.Over() != EndKicked {
			t.Errorf("kim's stream has ended for %q, want %q", victim.Over(), EndKicked)
		}
		if there := hubs[1].peers.In("a", time.Now()); there == nil || there.Count != 2 {
			t.Errorf("the other node knows of %+v, want two readers; it was sent %+v", there, lines[0].take())
		}
		// but not for ever
		lines[0].set(func() { lines[0].dead = errors.New("not connected") })
		hubs[0].Kick("ann")
		time.Sleep(2 * nodes.CommandLife)
		lines[0].set(func() { lines[0].dead = nil; lines[0].sent = nil })
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if slices.ContainsFunc(lines[0].take(), func(n nodes.Notice) bool { return n.Kick != "" }) {
			t.Error("a kick was told when it was over")
		}
		stays.stop()
		more.stop()
	})
}

func TestAHubThatClosesDoesNotWaitForTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs, lines := newLinkedHubs(t, 2, plenty)
		r := hubs[0].read(t, defaults("a"))
		time.Sleep(2 * time.Second)
		r.stop()
		synctest.Wait()
		if err := hubs[0].Close(); err != nil {
			t.Fatal(err)
		}
		if sent := lines[0].take(); !slices.ContainsFunc(sent, func(n nodes.Notice) bool { return n.Bye }) || hubs[1].peers.In("a", time.Now()) != nil {
			t.Errorf("a hub that closed told %+v", sent)
		}
		goesOn := make(chan struct{})
		lines[1].set(func() { lines[1].hangs = goesOn })
		begin := time.Now()
		if err := hubs[1].Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > nodes.Farewell {
			t.Errorf("closing took %s", took)
		}
		close(goesOn)
	})
}

// Many rooms are told as a whole, and what is told of them stays bounded.
func TestManyRoomsAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs, lines := newLinkedHubs(t, 2, store.Limits{Count: 1, Rooms: 100_000})
		goesOn := make(chan struct{})
		synctest.Wait()
		lines[0].set(func() { lines[0].hangs = goesOn })
		const rooms = 2 * nodes.MaxQueuedRooms
		var readers []*Subscriber
		for i := range rooms / manyRoomsAtOnce {
			var names []string
			for j := range manyRoomsAtOnce {
				names = append(names, fmt.Sprint("r", i*manyRoomsAtOnce+j))
			}
			readers = append(readers, hubs[0].mustSubscribe(t, defaults(names...)))
		}
		if n := hubs[0].outbox.Waiting(); n > nodes.MaxQueuedRooms {
			t.Errorf("%d rooms wait to be told", n)
		}
		lines[0].set(func() { lines[0].hangs = nil })
		close(goesOn)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		known := 0
		for i := range rooms {
			if hubs[1].peers.In(fmt.Sprint("r", i), time.Now()) != nil {
				known++
			}
		}
		if known != rooms {
			t.Errorf("another node knows of readers in %d rooms, want %d", known, rooms)
		}
		for _, s := range readers {
			s.Close()
		}
	})
}

// A signal reaches the readers at all nodes, and is only sent to nodes that have some.
func TestSignalsReachAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs, lines := newLinkedHubs(t, 2, plenty)
		typing := wire.Signal{Name: "kim", Signal: "typing"}
		time.Sleep(time.Second)
		hubs[0].Signal("a", typing)
		synctest.Wait()
		for _, n := range lines[0].take() {
			if n.Signal != nil {
				t.Error("a signal is sent to a node without readers")
			}
		}
		there, elsewhere := hubs[1].read(t, watcher("", "a")), hubs[1].read(t, watcher("", "b"))
		time.Sleep(2 * time.Second)
		there.take()
		hubs[0].Signal("a", typing)
		synctest.Wait()
		if got := there.take(); !strings.Contains(got, "event: signal\ndata: {\"room\":\"a\",\"name\":\"kim\",\"signal\":\"typing\"}\n\n") {
			t.Errorf("a page at another node got %q", got)
		}
		if got := elsewhere.take(); strings.Contains(got, "signal") {
			t.Errorf("a page of another room got %q", got)
		}
		there.stop()
		elsewhere.stop()
		for _, b := range hubs {
			_ = b.Close()
		}
	})
}

// Who has a stream in any room of any node is here, also in a crowd, and also if another node
// says nothing any more. Who left is so for twelve seconds, and nobody is away right after a
// node has come or gone.
func TestStandingsOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hubs, lines := newLinkedHubs(t, 3, plenty)
		as := func(person string, rooms ...string) *Subscription {
			sub := defaults(rooms...)
			sub.Person = person
			return sub
		}
		var crowd []string
		for i := range 3 * presence.MaxNames {
			crowd = append(crowd, fmt.Sprint("p", i))
			defer hubs[0].mustSubscribe(t, as(crowd[i], "crowd")).Close()
		}
		here := hubs[1].mustSubscribe(t, as("here", "a", "b"))
		gone := hubs[2].mustSubscribe(t, as("gone", "a"))
		again := hubs[2].mustSubscribe(t, as("again", "a"))
		time.Sleep(time.Second)
		if got := hubs[0].Standings(t.Context(), []string{"here", "nobody"}); got["here"] != presence.Here || got["nobody"] != presence.Left {
			t.Errorf("right after the start they are %v", got)
		}
		time.Sleep(Settling)
		gone.Close()
		again.Close()
		defer hubs[0].mustSubscribe(t, as("again", "b")).Close()
		people := append([]string{"here", "gone", "again", "nobody"}, crowd...)
		check := func(when string, want map[string]presence.Standing) {
			t.Helper()
			for i, h := range hubs {
				begin := time.Now()
				got := h.Standings(t.Context(), people)
				if took := time.Since(begin); took > 0 {
					t.Errorf("%s: node %d takes %s", when, i, took)
				}
				for _, person := range people {
					wanted := presence.Here
					if w, ok := want[person]; ok {
						wanted = w
					}
					if got[person] != wanted {
						t.Errorf("%s: at node %d %s is %d, want %d", when, i, person, got[person], wanted)
					}
				}
			}
		}
		check("at once", map[string]presence.Standing{"gone": presence.Left, "nobody": presence.Away})
		time.Sleep(13 * time.Second)
		check("later", map[string]presence.Standing{"gone": presence.Away, "nobody": presence.Away})
		here.Close()
		time.Sleep(13 * time.Second)
		if got := hubs[0].Standings(t.Context(), []string{"here"}); len(got) > 0 {
			t.Errorf("who left is %v", got)
		}
		// a node that says nothing any more
		lines[0].set(func() { lines[0].dead = errors.New("dead") })
		begin := time.Now()
		got := hubs[1].Standings(t.Context(), []string{"p1", "again"})
		if took := time.Since(begin); took != nodes.AnswerLimit || got["p1"] != presence.Left {
			t.Errorf("with a dead node %v after %s", got, took)
		}
		time.Sleep(time.Minute)
		begin = time.Now()
		if got := hubs[1].Standings(t.Context(), []string{"p1"}); time.Since(begin) > 0 || len(got) > 0 {
			t.Errorf("a node that is long dead: %v after %s", got, time.Since(begin))
		}
		// one that says goodbye
		defer hubs[2].mustSubscribe(t, as("reader", "a")).Close()
		time.Sleep(2 * time.Second)
		_ = hubs[2].Close()
		synctest.Wait()
		if got := hubs[1].Standings(t.Context(), []string{"nobody"}); got["nobody"] != presence.Left {
			t.Errorf("right after a node has gone they are %v", got)
		}
		time.Sleep(Settling)
		if got := hubs[1].Standings(t.Context(), []string{"nobody"}); len(got) > 0 {
			t.Errorf("later they are %v", got)
		}
	})
}
