//go:build !race

package hub

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// hundredBytes is a text of usual length.
var hundredBytes = strings.Repeat("0123456789", 10)

// What a publisher waits for must not depend on how many readers there are.
func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{0, 1, 1000, 100_000} {
		b.Run(fmt.Sprint(readers, " readers"), func(b *testing.B) {
			broker := newTestHub(b, plenty)
			for range readers {
				broker.mustSubscribe(b, defaults("a"))
			}
			b.ReportAllocs()
			for b.Loop() {
				broker.mustPublish(b, "a", hundredBytes)
			}
		})
	}
}

func BenchmarkPublishBatch(b *testing.B) {
	broker := newTestHub(b, plenty)
	broker.mustSubscribe(b, defaults("a"))
	drafts := make([]store.Draft, 100)
	for i := range drafts {
		drafts[i].Text = hundredBytes
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.Publish(b.Context(), "a", drafts...); err != nil {
			b.Fatal(err)
		}
	}
}

// Reading is what is done for each delivery, but for the write itself.
func BenchmarkRead(b *testing.B) {
	for _, test := range []struct {
		name    string
		rooms   []string
		pending int
		raw     bool
	}{
		{"one message", []string{"a"}, 1, false},
		{"one raw message", []string{"a"}, 1, true},
		{"100 messages", []string{"a"}, 100, false},
		{"100 raw messages", []string{"a"}, 100, true},
		{"one message of 3 rooms", []string{"a", "b", "c"}, 1, false},
		{"100 messages of 3 rooms", []string{"a", "b", "c"}, 100, false},
	} {
		b.Run(test.name, func(b *testing.B) {
			broker := newTestHub(b, plenty)
			subscription := defaults(test.rooms...)
			subscription.Raw = test.raw
			sub := broker.mustSubscribe(b, subscription)
			sub.pending(b)
			before := sub.cursor
			for range test.pending {
				broker.mustPublish(b, "a", hundredBytes)
			}
			buf := make([]byte, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				sub.cursor = before
				if out := sub.Next(b.Context(), buf); out.messages != test.pending {
					b.Fatalf("%d messages, want %d", out.messages, test.pending)
				}
			}
		})
	}
}

// The work of waking readers is the dispatcher's, not the publisher's.
func BenchmarkWake(b *testing.B) {
	for _, readers := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(readers, " readers"), func(b *testing.B) {
			broker := newTestHub(b, plenty)
			for range readers {
				broker.mustSubscribe(b, defaults("a"))
			}
			room := broker.room("a")
			b.ReportAllocs()
			for b.Loop() {
				room.wakeAll(broker.Pace, false)
			}
		})
	}
}
