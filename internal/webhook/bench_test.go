package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// counter is a site that counts the messages that it accepts.
type counter struct {
	away     atomic.Bool
	messages atomic.Int64
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || c.away.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		c.messages.Add(int64(bytes.Count(body, []byte(`{"type":"message",`))))
		w.WriteHeader(http.StatusNoContent)
	}
}

// A backlog in a file, of rooms that take turns: how fast it drains once the site is back, and
// how much memory it takes while the site is away.
func BenchmarkBacklog(b *testing.B) {
	const total = 1_000_000
	for _, rooms := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint("rooms=", rooms), func(b *testing.B) {
			for b.Loop() {
				drain(b, rooms, total)
			}
		})
	}
}

func drain(b *testing.B, rooms, total int) {
	site := new(counter)
	server := httptest.NewServer(site)
	defer server.Close()
	h := openHub(b, filepath.Join(b.TempDir(), "chat.db"), store.Limits{Count: total, Rooms: rooms + 1})
	h.sender.limits = usualLimits
	h.sender.limits.longest = time.Second // or the benchmark would wait for minutes
	h.sender.Direct(&Target{URL: server.URL, Secret: "s"})
	h.follows(b)
	site.away.Store(true)
	memory := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	h.fill(b, rooms, 0, total/10)
	few := memory()
	h.fill(b, rooms, total/10, total)
	all := memory()
	begin := time.Now()
	site.away.Store(false)
	for site.messages.Load() == 0 {
		time.Sleep(time.Millisecond) // until the next attempt
	}
	waited := time.Since(begin)
	begin = time.Now()
	for site.messages.Load() < int64(total) {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(begin)
	b.ReportMetric(float64(total)/took.Seconds(), "messages/s")
	b.ReportMetric(few, "MB/100k-away")
	b.ReportMetric(all, "MB/1M-away")
	b.ReportMetric(waited.Seconds(), "s-until-retry")
	h.close()
}

// fill publishes messages from one number to another, ten at a time, in rooms that take turns.
func (h *testHub) fill(b *testing.B, rooms, from, to int) {
	const batch = 10
	var next atomic.Int64
	next.Store(int64(from / batch))
	var publishers sync.WaitGroup
	for range 64 {
		publishers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i*batch >= to {
					return
				}
				drafts := make([]store.Draft, batch)
				for j := range drafts {
					drafts[j] = store.Draft{Text: fmt.Sprintf("message %d, which says something", i*batch+j), Name: "kim"}
				}
				if _, err := h.Publish(context.Background(), fmt.Sprint("room-", i%rooms), drafts...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	publishers.Wait()
}
