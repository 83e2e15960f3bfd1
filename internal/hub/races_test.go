package hub

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A reader of one room misses no change, however publishing and changing meet its reads.
func TestReadersOfOneRoomMissNoChange(t *testing.T) {
	b := newTestHub(t, store.Limits{Count: 100_000, Rooms: 100})
	begin := b.State().Latest.String()
	stopped := make(chan struct{})
	var reading, publishing sync.WaitGroup
	readers := make([]*eventReader, 8)
	for i := range readers {
		r := &eventReader{Reader: storetest.NewReader(), hub: b, rooms: []string{"a"}, events: true, last: begin}
		readers[i] = r
		r.join(t)
		reading.Go(func() {
			for done := false; ; {
				select {
				case <-stopped:
					done = true
				default:
				}
				if r.read(t) {
					continue
				}
				if done {
					return
				}
				select {
				case <-r.sub.Wake:
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	for p := range 2 {
		publishing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 9))
			var mine []*store.Message
			for i := range 1500 {
				if len(mine) < 5 || i%3 == 0 {
					mine = append(mine, b.mustPublishOwned(t, "a", fmt.Sprint(i)))
					continue
				}
				j := random.IntN(len(mine))
				kind := []store.ChangeKind{store.Delete, store.Append, store.React}[random.IntN(3)]
				if b.mustChange(t, mine[j], kind, "x"); kind == store.Delete {
					mine = append(mine[:j], mine[j+1:]...)
				}
			}
		})
	}
	publishing.Wait()
	close(stopped)
	reading.Wait()
	for _, r := range readers {
		r.sub.Close()
		r.Check(t, b.store, "a")
	}
}

// What an edit of the data alone replaces is the data alone.
func TestAnEditSupersedesOnlyWhatItReplaces(t *testing.T) {
	edit := func(b *Hub, m *store.Message, text, data string) {
		t.Helper()
		c := store.Change{Kind: store.Edit, By: kim, Text: text, HasText: text != "", Data: data, MaxText: 1000}
		if _, err := b.Change(t.Context(), m.Room, m.ID, c); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*Hub, *store.Message){
		"an append, then data": func(b *Hub, m *store.Message) { b.mustChange(t, m, store.Append, "y"); edit(b, m, "", "1") },
		"data, then a text":    func(b *Hub, m *store.Message) { edit(b, m, "", "1"); edit(b, m, "new", "") },
		"a text, then data":    func(b *Hub, m *store.Message) { edit(b, m, "***", ""); edit(b, m, "", "1") },
		"all, then an append":  func(b *Hub, m *store.Message) { edit(b, m, "long text", "1"); b.mustChange(t, m, store.Append, "y") },
		"a reaction, then both": func(b *Hub, m *store.Message) {
			b.mustChange(t, m, store.React, "👍")
			edit(b, m, "x", "2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestHub(t, plenty)
			m := b.mustPublishOwned(t, "a", "secret")
			r := &eventReader{Reader: storetest.NewReader(), hub: b, rooms: []string{"a"}, events: true, last: m.ID.Prev().String()}
			r.join(t)
			defer r.sub.Close()
			for r.read(t) {
			}
			change(b, m)
			for r.read(t) {
			}
			r.Check(t, b.store, "a")
		})
	}
}

// Edits that make messages longer do not make a ring larger than its bounds.
func TestEditsDoNotGrowARing(t *testing.T) {
	b := newTestHub(t, plenty)
	defer b.mustSubscribe(t, defaults("a")).Close()
	var sent []*store.Message
	for range 500 {
		sent = append(sent, b.mustPublishOwned(t, "a", "x"))
	}
	long := string(make([]byte, 0))
	for len(long) < 8<<10 {
		long += "xxxxxxxxxxxxxxxx"
	}
	for _, m := range sent {
		b.mustChange(t, m, store.Edit, long)
	}
	b.tidy(b.wheel.Elapsed() + 10_000)
	time.Sleep(10 * time.Millisecond)
	r := b.room("a")
	r.mu.RLock()
	defer r.mu.RUnlock()
	if most := b.sizes.floodBytes + 64<<10; r.ring.Bytes() > most || r.notices.Size() > b.sizes.ringBytes+64<<10 {
		t.Errorf("the rings hold %d and %d bytes", r.ring.Bytes(), r.notices.Size())
	}
	if got := b.ringBytes.Load(); got != int64(r.ring.Bytes()+r.notices.Size()) {
		t.Errorf("%d bytes are counted, want %d", got, r.ring.Bytes()+r.notices.Size())
	}
}
