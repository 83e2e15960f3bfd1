package bolt

import (
	"fmt"
	"path/filepath"
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
