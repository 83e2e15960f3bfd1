//go:build !race

package ssechat

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

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
	b := newTestBroker(t, store.Limits{Count: 10, Rooms: 10})
	streams := make([]*stream, readers)
	for i := range streams {
		w := discardWriter{io.Discard}
		streams[i] = &stream{w: w, flush: http.NewResponseController(w), sub: b.mustSubscribe(t, defaults(rooms...))}
	}
	drafts := make([]store.Draft, burst)
	for i := range drafts {
		drafts[i].Text = "0123456789"
	}
	return testing.AllocsPerRun(300, func() {
		if _, err := b.publish(t.Context(), "a", drafts...); err != nil {
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

// Also not where rooms have readers, whose rings hold messages too.
func TestAMemoryHubAllocatesNoMoreThanItsSize(t *testing.T) {
	const size = 32 << 20
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold is free only now
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	text := strings.Repeat("x", 6<<10)
	b := newTestBroker(t, store.Limits{Count: 1000, Rooms: 100_000, Size: size})
	const rooms = 5000
	name := func(i int) string { return fmt.Sprint("room ", i%rooms) }
	for i := range rooms {
		b.mustSubscribe(t, defaults(name(i)))
	}
	before := heap()
	for i := range 4 * rooms {
		b.mustPublish(t, name(i), text)
	}
	used := heap() - before
	t.Logf("%.2f of the size is in use", float64(used)/size)
	if used > size*105/100 {
		t.Errorf("%d bytes of heap are in use, more than the size of %d", used, size)
	}
}
