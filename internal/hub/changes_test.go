package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

var kim = store.OwnerByName("kim")

// mustPublishOwned publishes a text of kim's.
func (b *Hub) mustPublishOwned(t testing.TB, room, text string) *store.Message {
	t.Helper()
	receipts, err := b.Publish(t.Context(), room, store.Draft{Text: text, Owner: kim})
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0].Message
}

func (b *Hub) mustChange(t testing.TB, m *store.Message, kind store.ChangeKind, text string) *store.Message {
	t.Helper()
	receipt, err := b.Change(t.Context(), m.Room, m.ID, store.Change{Kind: kind, By: kim, Text: text, HasText: true, MaxText: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Message
}

func TestChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestHub(t, plenty)
		m := b.mustPublishOwned(t, "a", "x")
		watching, plain, other := b.read(t, watcher("", "a", "b")), b.read(t, defaults("a")), b.read(t, watcher("", "b"))
		synctest.Wait()
		watching.take()
		other.take()
		var want strings.Builder
		for i, change := range []struct {
			kind     store.ChangeKind
			text     string
			told     string
			reaction bool
		}{
			{store.Append, "y", `"append":"y","at":1`, false},
			{store.Append, "z", `"append":"z","at":2`, false},
			{store.React, "👍", `"reactions":{"👍":{"count":1,"by":["kim"]}}`, true},
			{store.Edit, "new", `"text":"new"`, false},
			{store.Unreact, "👍", `"reactions":{}`, true},
		} {
			m = b.mustChange(t, m, change.kind, change.text)
			edited := fmt.Sprintf(`,"edited":%d`, m.Revision().Ms)
			if change.reaction {
				edited = ""
			}
			fmt.Fprintf(&want, "event: change\nid: %v\ndata: {\"id\":\"%v\",\"room\":\"a\",%s%s}\n\n", m.Revision(), m.ID, change.told, edited)
			if i < 3 || i == 4 { // the last two come together: the second replaces nothing of the first
				synctest.Wait()
				if got := watching.take(); got != want.String() {
					t.Errorf("a page was told %q, want %q", got, want.String())
				}
				want.Reset()
			}
		}
		if got := plain.take() + other.take(); got != "" {
			t.Errorf("others were told %q", got)
		}
		next := b.mustPublish(t, "a", "next")
		synctest.Wait()
		if got := plain.take(); !strings.HasPrefix(got, fmt.Sprintf("id: %v\n", next)) {
			t.Errorf("a plain client was told %q", got)
		}
		for _, r := range []*reader{watching, plain, other} {
			r.stop()
		}
	})
}

func TestAResumeTellsEachChangedMessageOnce(t *testing.T) {
	for _, read := range []bool{false, true} {
		t.Run(fmt.Sprint("with a reader: ", read), func(t *testing.T) {
			b := newTestHub(t, plenty)
			if read {
				defer b.mustSubscribe(t, watcher("", "a")).Close()
			}
			var sent []*store.Message
			for range 100 {
				sent = append(sent, b.mustPublishOwned(t, "a", "x"))
			}
			sub := watcher("", "a")
			sub.LastEventID = b.State().Latest.String()
			for i := range 10_000 {
				b.mustChange(t, sent[i%100], store.Append, "y")
			}
			s := b.mustSubscribe(t, sub)
			defer s.Close()
			changes := 0
			for _, e := range chattest.ParseStream(s.pending(t)) {
				if e.Name == "change" {
					changes++
					if !strings.Contains(e.Data, `"text":"x`+strings.Repeat("y", 100)+`"`) {
						t.Fatalf("a change is %s", e.Data)
					}
				}
			}
			if changes != 100 {
				t.Errorf("%d changes are told, want 100", changes)
			}
		})
	}
}

// A deletion is told to who was away, and nobody gets what was deleted.
func TestADeletedMessageIsInNoRing(t *testing.T) {
	b := newTestHub(t, plenty)
	s := b.mustSubscribe(t, watcher("", "a"))
	defer s.Close()
	s.pending(t)
	m := b.mustPublishOwned(t, "a", "first secret")
	m = b.mustChange(t, m, store.Append, ", second secret")
	b.mustChange(t, m, store.Edit, "third secret")
	b.mustChange(t, m, store.Delete, "")
	if got := s.pending(t); strings.Contains(got, "secret") || !strings.Contains(got, "event: delete") {
		t.Errorf("one who is late gets %s", got)
	}
}

// eventReader is a client that shows what it was sent, and reads it as one who falls
// behind, drops out and comes back.
type eventReader struct {
	*storetest.Reader

	hub    *Hub
	rooms  []string
	events bool
	sub    *Subscriber
	last   string // its Last-Event-ID
	reads  int
}

// join opens the stream.
func (r *eventReader) join(t testing.TB) {
	sub := defaults(r.rooms...)
	sub.Events, sub.LastEventID = r.events, r.last
	r.sub = r.hub.mustSubscribe(t, sub)
}

// read reads once, and reports whether there was something.
func (r *eventReader) read(t testing.TB) bool {
	t.Helper()
	r.reads++
	r.sub.chunked = r.reads%2 == 0
	m := &replayModel{Hub: r.hub, t: t, reads: r.reads}
	out := m.readOnce(r.sub)
	stream := string(out.Bytes)
	if r.sub.chunked {
		stream = chattest.Dechunk(t, stream)
	}
	for _, e := range chattest.ParseStream(stream) {
		if e.ID != "" {
			if r.last != "" && !chattest.MustID(t, e.ID).After(chattest.MustID(t, r.last)) {
				t.Fatalf("%+v comes after %s", e, r.last)
			}
			r.last = e.ID
		}
		switch e.Name {
		case "", "change", "delete":
			if e.ID == "" || e.Name != "" && !r.events {
				t.Fatalf("%+v", e)
			}
			if err := r.Apply([]byte(e.Data), e.Name != ""); err != nil {
				t.Fatal(err)
			}
		case "gap":
			// a page begins anew with what is kept
			r.Reader = storetest.NewReader()
			r.Catch(t, r.hub.store, store.ID{}, 100, r.rooms...)
		case "hello", "live", "presence", "start":
		default:
			t.Fatalf("nobody asked for %+v", e)
		}
	}
	return stream != ""
}

// Any interleaving of posts, changes, deletions, retention, drops and resumes leaves each
// reader with what the store has.
func TestChangesAgainstModel(t *testing.T) {
	for name, open := range map[string]func(testing.TB, store.Limits) *Hub{"in memory": newTestHub, "on disk": newDiskHub} {
		seeds := uint64(200)
		if name == "on disk" {
			seeds = 15
		}
		for seed := range seeds {
			ok := t.Run(fmt.Sprint(name, ", seed ", seed), func(t *testing.T) {
				runChanges(t, rand.New(rand.NewPCG(seed, 3)), open)
			})
			if !ok {
				return
			}
		}
	}
}

func runChanges(t *testing.T, random *rand.Rand, open func(testing.TB, store.Limits) *Hub) {
	b := open(t, store.Limits{Count: 12, Rooms: 100})
	b.sizes = bounds{
		batch: 300, page: 3, ringMessages: 4, ringBytes: 2 << 10, floodMessages: 6, floodBytes: 2 << 10,
		floodTime: time.Minute, allRingBytes: 8 << 10, crowdedMessages: 2,
	}
	var sent []*store.Message
	var readers []*eventReader
	for i := range 6 {
		first := random.IntN(len(modelRooms))
		readers = append(readers, &eventReader{
			Reader: storetest.NewReader(), hub: b, rooms: modelRooms[first:min(len(modelRooms), first+1+i%3)], events: i%3 > 0,
			last: b.State().Latest.String(),
		})
		readers[i].join(t)
	}
	change := func() {
		m := sent[random.IntN(len(sent))]
		c := store.Change{Kind: store.ChangeKind(random.IntN(5)), By: kim, Text: fmt.Sprint(random.IntN(100)), HasText: true, MaxText: 200}
		if c.Kind == store.Delete && random.IntN(3) > 0 {
			c.Kind = store.Append
		}
		if _, err := b.Change(t.Context(), m.Room, m.ID, c); err != nil && !store.IsRefusal(err) {
			t.Fatal(err)
		}
	}
	for range 400 {
		switch op := random.IntN(20); {
		case op < 4 || len(sent) == 0:
			for range 1 + random.IntN(3) {
				sent = append(sent, b.mustPublishOwned(t, modelRooms[random.IntN(3)], "x"))
			}
		case op < 10:
			for range 1 + random.IntN(4) {
				change()
			}
		case op < 17:
			readers[random.IntN(len(readers))].read(t)
		case op < 19: // one drops out and comes back
			r := readers[random.IntN(len(readers))]
			r.sub.Close()
			r.join(t)
		case random.IntN(4) == 0:
			if err := b.Forget(t.Context(), modelRooms[random.IntN(3)]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range readers {
		for r.read(t) {
		}
		if r.events {
			r.Check(t, b.store, r.rooms...)
		}
		r.sub.Close()
	}
}

// With publishers who change messages, and readers who drop out, all at once and for real,
// each reader shows what the store has in the end.
func TestChangesUnderLoad(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { testChangesUnderLoad(t, newTestHub) })
	t.Run("on disk", func(t *testing.T) { testChangesUnderLoad(t, newDiskHub) })
}

func testChangesUnderLoad(t *testing.T, open func(testing.TB, store.Limits) *Hub) {
	b := open(t, store.Limits{Count: 100_000, Rooms: 100})
	b.sizes.page, b.sizes.ringMessages, b.sizes.batch = 5, 20, 2000
	const publishers, each, count = 6, 150, 12
	begin := b.State().Latest.String()
	stopped := make(chan struct{})
	var reading sync.WaitGroup
	readers := make([]*eventReader, count)
	for i := range readers {
		r := &eventReader{Reader: storetest.NewReader(), hub: b, rooms: modelRooms[:1+i%3], events: true, last: begin}
		readers[i] = r
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 5))
			for done := false; ; {
				r.join(t)
				for n := 1 + random.IntN(30); n > 0; n-- {
					select { // before the read, so that the last one sees all
					case <-stopped:
						done = true
					default:
					}
					if r.read(t) {
						continue
					}
					if done {
						r.sub.Close()
						return
					}
					select {
					case <-r.sub.Wake:
					case <-time.After(time.Millisecond):
					}
				}
				r.sub.Close()
			}
		})
	}
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 7))
			var mine []*store.Message
			for i := range each {
				if i%10 == 0 {
					mine = append(mine, b.mustPublishOwned(t, modelRooms[(p+i)%3], "x"))
				}
				m := mine[random.IntN(len(mine))]
				kind := []store.ChangeKind{store.Append, store.Append, store.Append, store.Edit, store.React, store.Unreact}[random.IntN(6)]
				if random.IntN(40) == 0 {
					kind = store.Delete
				}
				c := store.Change{Kind: kind, By: kim, Text: fmt.Sprint(i), HasText: true, MaxText: 1 << 10}
				if _, err := b.Change(t.Context(), m.Room, m.ID, c); err != nil && !store.IsRefusal(err) {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	close(stopped)
	reading.Wait()
	for _, r := range readers {
		r.Check(t, b.store, r.rooms...)
	}
}

// A refusal says nothing about the store's health.
func TestARefusedChangeIsNoFault(t *testing.T) {
	b := newTestHub(t, plenty)
	m := b.mustPublishOwned(t, "a", "x")
	if _, err := b.Change(t.Context(), "a", m.ID, store.Change{Kind: store.Delete}); !errors.Is(err, store.ErrNotYours) {
		t.Errorf("a stranger is answered %v", err)
	}
	if !b.StoreUp() {
		t.Error("the store is taken to be down")
	}
}

// A reader that has just resumed gets changes whole: what it had before may lack one that the
// rings here did not have yet.
func TestChangesAreWholeAfterAResume(t *testing.T) {
	b := newTestHub(t, plenty)
	m := b.mustPublishOwned(t, "a", "x")
	sub := defaults("a")
	sub.Events, sub.LastEventID = true, m.ID.String()
	s := b.mustSubscribe(t, sub)
	s.Next(t.Context(), nil)
	if _, err := b.Change(t.Context(), "a", m.ID, store.Change{Kind: store.Append, By: kim, Text: "y", MaxText: 10}); err != nil {
		t.Fatal(err)
	}
	if got := string(s.Next(t.Context(), nil).Bytes); !strings.Contains(got, `"text":"xy"`) {
		t.Errorf("got %q, want the whole message", got)
	}
}
