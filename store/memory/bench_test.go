package memory

import (
	"fmt"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// nobody is a hub without readers.
type nobody struct{}

func (nobody) Deliver([]*store.Message)             {}
func (nobody) Deleted(string, store.ID, store.ID)   {}
func (nobody) Forgotten(string, store.ID, store.ID) {}
func (nobody) Changed(_, _ *store.Message)          {}
func (nobody) Reading(string) bool                  { return false }

func BenchmarkAppend(b *testing.B) {
	for _, test := range []struct {
		name        string
		rooms, size int
	}{
		{"1 room", 1, 0},
		{"10,000 rooms", 10_000, 0},
		{"10,000 rooms, full", 10_000, 4 << 20},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := Open(nobody{}, store.Limits{Count: 1000, Rooms: 100_000, Size: test.size})
			defer s.Close()
			names := make([]string, test.rooms)
			for i := range names {
				names[i] = fmt.Sprint("room ", i)
			}
			draft := []store.Draft{{Text: "0123456789"}}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := s.Append(b.Context(), names[i%test.rooms], draft); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// An answer that is written token by token, until it is as long as may be.
func BenchmarkChange(b *testing.B) {
	s := Open(nobody{}, store.Limits{Count: 1000, Rooms: 10})
	defer s.Close()
	owner := store.OwnerByName("kim")
	c := store.Change{Kind: store.Append, By: owner, Text: "token ", MaxText: 8 << 10}
	for i := 0; b.Loop(); i++ {
		if i%1365 == 0 {
			storetest.MustAppend(b, s, "a", store.Draft{Text: "x", Owner: owner})
		}
		log := &s.rooms["a"].log
		if _, err := s.Change(b.Context(), "a", log.At(log.Len()-1).ID, c); err != nil {
			b.Fatal(err)
		}
	}
}
