package bolt

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A page of After merges the messages of all rooms that a reader is in.
func BenchmarkAfter(b *testing.B) {
	const messages = 1000
	for _, rooms := range []int{1, 3, 20} {
		b.Run(fmt.Sprint(rooms, " rooms"), func(b *testing.B) {
			limits := store.Limits{Count: messages, Rooms: rooms}
			s, err := Open(filepath.Join(b.TempDir(), "chat.db"), "hub", new(storetest.Hub), limits, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			span := store.Span{UpTo: store.MaxID}
			for i := range rooms {
				span.Rooms = append(span.Rooms, fmt.Sprint("room ", i))
			}
			for i := range messages {
				if _, err := s.Append(b.Context(), span.Rooms[i%rooms], []store.Draft{{Text: "0123456789"}}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				page, err := s.After(b.Context(), span, messages)
				if err != nil || len(page.Messages) != messages {
					b.Fatalf("%d messages, %v", len(page.Messages), err)
				}
			}
		})
	}
}

// An append to a message costs what a publish costs. The sync costs most of both, so they
// are also measured without it, and an edit with what the eraser does for it.
func BenchmarkChange(b *testing.B) {
	for _, sync := range []bool{false, true} {
		for _, name := range []string{"publish", "append", "edit"} {
			for _, size := range []int{100, 4000} {
				b.Run(fmt.Sprintf("%s/%d bytes/sync %t", name, size, sync), func(b *testing.B) {
					s := benchStore(b, sync)
					draft := []store.Draft{{Text: strings.Repeat("x", size), Owner: kim}}
					var id store.ID
					b.ReportAllocs()
					for n := 0; b.Loop(); n++ {
						// a few hundred appends to each message
						if name == "publish" || n%300 == 0 {
							receipts, err := s.Append(b.Context(), "room", draft)
							if err != nil {
								b.Fatal(err)
							}
							id = receipts[0].ID
							continue
						}
						c := store.Change{Kind: store.Append, By: kim, Text: "token ", MaxText: 64 << 10}
						if name == "edit" {
							c = store.Change{Kind: store.Edit, By: kim, Text: draft[0].Text, HasText: true, MaxText: 64 << 10}
						}
						if _, err := s.Change(b.Context(), "room", id, c); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func benchStore(b *testing.B, sync bool) *Store {
	b.Helper()
	s, err := Open(filepath.Join(b.TempDir(), "chat.db"), "hub", new(quietHub), store.Limits{Count: 1000, Rooms: 10}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	s.file.db.NoSync = !sync
	for i := range 1000 {
		if _, err := s.Append(b.Context(), "room", []store.Draft{{Text: fmt.Sprint(i)}}); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// quietHub is a hub without readers.
type quietHub struct{}

func (quietHub) Deliver([]*store.Message)             {}
func (quietHub) Changed(_, _ *store.Message)          {}
func (quietHub) Deleted(string, store.ID, store.ID)   {}
func (quietHub) Forgotten(string, store.ID, store.ID) {}
func (quietHub) Reading(string) bool                  { return false }
