package memory

import (
	"fmt"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
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
