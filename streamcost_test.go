//go:build !race

package ssechat

import (
	"io"
	"net/http"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// A delivery allocates nothing: not in the broker, not where frames are put
// together, not where they are written.
func TestDeliveriesDoNotAllocate(t *testing.T) {
	for _, test := range []struct {
		name  string
		rooms []string
		burst int
	}{
		{"one message", []string{"a"}, 1},
		{"a burst", []string{"a"}, 20},
		{"several rooms", []string{"a", "b", "c"}, 1},
		{"a burst in several rooms", []string{"a", "b", "c"}, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			few := allocsPerPublish(t, test.rooms, test.burst, 1)
			many := allocsPerPublish(t, test.rooms, test.burst, 101)
			if many > few+0.5 {
				t.Errorf("%.1f allocations for 1 reader, %.1f for 101", few, many)
			}
		})
	}
}

func allocsPerPublish(t *testing.T, rooms []string, burst, readers int) float64 {
	b := hubtest.New(t, store.Limits{Count: 10, Rooms: 10})
	streams := make([]*stream, readers)
	for i := range streams {
		w := discardWriter{io.Discard}
		streams[i] = &stream{w: w, flush: http.NewResponseController(w), sub: hubtest.Subscribe(t, b, hubtest.Subscription(rooms...))}
	}
	drafts := make([]store.Draft, burst)
	for i := range drafts {
		drafts[i].Text = "0123456789"
	}
	return testing.AllocsPerRun(300, func() {
		if _, err := b.Publish(t.Context(), "a", drafts...); err != nil {
			t.Fatal(err)
		}
		for _, s := range streams {
			if sent, err := s.sendPending(t.Context()); err != nil || !sent {
				t.Fatal(sent, err)
			}
		}
	})
}

// discardWriter is a ResponseWriter that throws away what it gets.
type discardWriter struct{ io.Writer }

func (discardWriter) Header() http.Header { return nil }
func (discardWriter) WriteHeader(int)     {}
func (discardWriter) FlushError() error   { return nil }

func BenchmarkPublishAndDeliver(b *testing.B) {
	broker := hubtest.New(b, hubtest.Plenty)
	w := discardWriter{io.Discard}
	s := &stream{w: w, flush: http.NewResponseController(w), sub: hubtest.Subscribe(b, broker, hubtest.Subscription("a"))}
	b.ReportAllocs()
	for b.Loop() {
		hubtest.Publish(b, broker, "a", "0123456789")
		if sent, err := s.sendPending(b.Context()); err != nil || !sent {
			b.Fatal(sent, err)
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	broker := hubtest.New(b, hubtest.Plenty)
	for range 1000 {
		hubtest.Publish(b, broker, "a", "0123456789012345678901234567890123456789012345678901234567890123456789")
	}
	w := discardWriter{io.Discard}
	b.ReportAllocs()
	for b.Loop() {
		sub := hubtest.Subscription("a")
		sub.Last = 1000
		s := &stream{w: w, flush: http.NewResponseController(w), sub: hubtest.Subscribe(b, broker, sub)}
		for {
			if sent, err := s.sendPending(b.Context()); err != nil || !sent {
				break
			}
		}
		s.sub.Close()
		if messages, _ := s.sub.Total(); messages != 1000 {
			b.Fatal(messages)
		}
	}
}
