//go:build !race

package memory

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestAFullStoreAllocatesNoMoreThanItsSize(t *testing.T) {
	const size = 64 << 20
	for _, test := range []struct {
		name  string
		draft func(i int) (room string, draft store.Draft)
		// change is made in each message, if it is not nil
		change func(i int) store.Change
		// least is how many bytes of the size must be in use: a store that counts
		// too much keeps too little
		least float64
	}{
		{"small messages in one room", func(i int) (string, store.Draft) {
			return "a", store.Draft{Text: fmt.Sprint(i)}
		}, nil, 0.8},
		{"small messages in many rooms", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", i%40_000), store.Draft{Text: fmt.Sprint(i)}
		}, nil, 0.8},
		{"a message in each of too many rooms", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", 1e6+2*i), store.Draft{Text: fmt.Sprint(i)}
		}, nil, 0.8},
		{"large messages in many rooms", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", i%1000), store.Draft{Text: strings.Repeat("x", rand.IntN(30<<10))}
		}, nil, 0.8},
		{"small messages with nonces", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", i%1000), store.Draft{Text: fmt.Sprint(i), Nonce: fmt.Sprintf("%032d", i)}
		}, nil, 0.6},
		{"large messages with nonces, of which none is kept", func(i int) (string, store.Draft) {
			return "none", store.Draft{Text: strings.Repeat("x", 8<<10), Nonce: fmt.Sprint(i)}
		}, nil, 0.2},
		{"a reaction to each message", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", i%1000), store.Draft{Text: fmt.Sprint(i)}
		}, func(i int) store.Change {
			return store.Change{Kind: store.React, By: store.OwnerByKey(fmt.Sprintf("%043d", i)), Text: fmt.Sprint(i % 100)}
		}, 0.8},
		{"an edit of each message", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", i%1000), store.Draft{Text: fmt.Sprint(i), Owner: store.OwnerByName("kim")}
		}, func(i int) store.Change {
			return store.Change{Kind: store.Edit, By: store.OwnerByName("kim"), Text: fmt.Sprint(-i), HasText: true, MaxText: 100}
		}, 0.8},
		{"a change with a nonce of each message", func(i int) (string, store.Draft) {
			return fmt.Sprint("room ", i%1000), store.Draft{Text: fmt.Sprint(i), Owner: store.OwnerByName("kim")}
		}, func(i int) store.Change {
			return store.Change{Kind: store.Append, By: store.OwnerByName("kim"), Text: "x", MaxText: 100, Nonce: fmt.Sprintf("%032d", i)}
		}, 0.6},
		{"all of it", func(i int) (string, store.Draft) {
			draft := store.Draft{Text: strings.Repeat("x", 1<<rand.IntN(14))}
			if i%3 == 0 {
				draft.Nonce = fmt.Sprint(i)
			}
			return fmt.Sprint(strings.Repeat("방", rand.IntN(40)), rand.IntN(20_000)), draft
		}, nil, 0.7},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := &reader{reads: func(room string) bool { return len(room)%2 == 0 }}
			limits := store.Limits{Count: 1 << 20, Rooms: 1 << 20, Size: size}
			if strings.Contains(test.name, "none is kept") {
				limits.Count = 0
			}
			before := heapInUse()
			s := Open(hub, limits)
			defer s.Close()
			// fill the store more than once
			for i, written := 0, 0; written < 2*size; i++ {
				room, draft := test.draft(i)
				receipts, err := s.Append(t.Context(), room, []store.Draft{draft})
				if err != nil {
					t.Fatal(err)
				}
				m := receipts[0].Message
				if test.change != nil {
					if receipts[0], err = s.Change(t.Context(), room, m.ID, test.change(i)); err != nil {
						t.Fatal(err)
					}
				}
				written += receipts[0].Message.Size()
			}
			heap := heapInUse() - before
			t.Logf("%.2f of the size is in use, %.2f is counted, %.2f for nonces; %d rooms",
				float64(heap)/size, float64(s.used())/size, float64(s.nonces.bytes)/size, len(s.rooms))
			if s.used() > size {
				t.Errorf("%d bytes are counted, more than the size of %d", s.used(), size)
			}
			if heap > size*102/100 {
				t.Errorf("%d bytes of heap are in use, more than the size of %d", heap, size)
			}
			if float64(heap) < test.least*size {
				t.Errorf("only %d bytes of heap are in use of a size of %d", heap, size)
			}
		})
	}
}

// heapInUse returns the size of all reachable objects, in bytes.
func heapInUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second run frees the contents of pools
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
