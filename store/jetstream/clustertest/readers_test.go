package clustertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// TestReadersWhoChangeNodes has readers who come back at any node, also at one that has
// just joined, while messages are published, changed and removed at others.
func TestReadersWhoChangeNodes(t *testing.T) {
	server := single(t)
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			module := &jetstream.Module{URLs: urls(server), Stream: newStream()}
			limits := store.Limits{Count: 5 + random.IntN(150), Rooms: 10}
			join := func() store.Store { return open(t, module, new(storetest.Hub), limits) }
			nodes := []store.Store{join(), join()}
			rooms := []string{"a", "b", "c"}
			var sent []*store.Message
			readers := make([]*storetest.Reader, 4)
			at := make([]store.ID, len(readers))
			for i := range readers {
				readers[i] = storetest.NewReader()
			}
			var newest store.ID
			synced := func(s store.Store) {
				waitFor(t, "a node to be up to date", func() bool { return s.State().Latest.N >= newest.N })
			}
			for step := range 400 {
				if step%150 == 149 && seed < 6 {
					flood(t, server, module.Stream)
				}
				i := random.IntN(len(nodes))
				s, room := nodes[i], rooms[random.IntN(len(rooms))]
				switch random.IntN(10) {
				case 0, 1, 2:
					sent = append(sent, storetest.MustAppend(t, s, room, ofKim(fmt.Sprint(random.Int())))[0])
				case 3, 4, 5, 6:
					if len(sent) == 0 {
						continue
					}
					m := sent[max(0, len(sent)-1-random.IntN(60))]
					c := []store.Change{add("x"), add("y"), edit("z"), {Kind: store.React, By: kim, Text: "+"}, deletion}[random.IntN(5)]
					if _, err := s.Change(t.Context(), m.Room, m.ID, c); err != nil && !errors.Is(err, store.ErrNotFound) {
						t.Fatal(err)
					}
				case 7:
					if random.IntN(8) == 0 {
						if err := s.Forget(t.Context(), room); err != nil {
							t.Fatal(err)
						}
					}
				case 8:
					if random.IntN(4) == 0 {
						_ = s.Close()
						nodes[i] = join()
					}
				default:
					r := random.IntN(len(readers))
					synced(s)
					_, at[r] = readers[r].Catch(t, s, at[r], 1+random.IntN(8), rooms...)
					readers[r].Check(t, s, rooms...)
				}
				newest = store.Newest(newest, nodes[i].State().Latest)
				if t.Failed() {
					return
				}
			}
			if seed < 6 {
				flood(t, server, module.Stream)
			}
			for _, s := range append(nodes, join()) {
				synced(s)
				for r := range readers {
					reader := readers[r].Clone()
					reader.Catch(t, s, at[r], 10, rooms...)
					reader.Check(t, s, rooms...)
				}
			}
		})
	}
}
