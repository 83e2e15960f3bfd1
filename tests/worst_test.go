//go:build linux && !race

package tests

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// All that is hostile comes at once: strangers who send random bytes, who come
// and go, who stall, and publishers as fast as they can be. Who reads along
// misses nothing; how much later it comes than on a calm day is reported.
func TestEverythingAtOnce(t *testing.T) {
	s := besiege(t, "write_timeout 1s\nmax_text 30KiB")
	s.Post(t, "/update", "first")
	base := s.usage(t)
	took := soak(5*time.Second, time.Minute)
	calm := s.latencies(t, 200, took)

	stop := make(chan struct{})
	var crowd sync.WaitGroup
	// each runs something again and again, so many times a second
	each := func(rate int, do func(i int)) {
		crowd.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; {
				for range max(1, rate/100) {
					do(i)
					i++
				}
				select {
				case <-tick.C:
				case <-stop:
					return
				}
			}
		})
	}
	garbage, came, published := 0, 0, 0
	visit := func(request []byte) {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return // the machine has no ports left for a moment
		}
		_, _ = conn.Write(request)
		conn.Close()
	}
	random := rand.New(rand.NewPCG(1, 2))
	each(2000, func(int) {
		request := make([]byte, 1+random.IntN(300))
		for i := range request {
			request[i] = byte(random.Uint32())
		}
		visit(request)
		garbage++
	})
	each(500, func(i int) {
		visit(fmt.Appendf(nil, "GET /subscribe?events=1&room=r%d HTTP/1.1\r\nHost: %s\r\n\r\n", i, s.Addr))
		came++
	})
	publisher := &http.Client{Transport: new(http.Transport)}
	post := func(room, text string) {
		response, err := publisher.Post(s.URL+"/update?room="+room, "", strings.NewReader(`{"text":"`+text+`"}`))
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}
	each(1_000_000, func(i int) { // as fast as it can
		select {
		case <-stop:
		default:
			post(fmt.Sprint("room-", i%100_000), "x")
			published++
		}
	})
	s.listen(t, 50, "/subscribe?room=flood", true)
	each(100, func(int) { post("flood", strings.Repeat("x", 30<<10)) })

	stormy := s.latencies(t, 200, took)
	close(stop)
	crowd.Wait()
	publisher.CloseIdleConnections()
	t.Logf("%d requests of random bytes, %d readers came and went, %d messages in as many rooms within %s", garbage, came, published, took)
	p99 := func(l []time.Duration) time.Duration { return l[len(l)*99/100] }
	t.Logf("p99 on a calm day %s, now %s: %.1f times; p50 %s and %s", p99(calm), p99(stormy),
		float64(p99(stormy))/float64(p99(calm)), calm[len(calm)/2], stormy[len(stormy)/2])
	if p99(stormy) > 50*p99(calm)+time.Second {
		t.Errorf("p99 is %s, and %s on a calm day", p99(stormy), p99(calm))
	}
	if heap := s.usage(t).heap; heap > base.heap+200<<20 {
		t.Errorf("the heap has %d MB", heap>>20)
	}
	// what is kept of each room stays until others come; all else is given back
	chattest.Eventually(t, "all who stall are gone", func() bool { return s.usage(t).subscribers == 0 })
	if now := s.usage(t); now.goroutines > base.goroutines+10 || now.files > base.files+10 {
		t.Errorf("it holds %+v, want what it held before: %+v", now, base)
	}
}

// latencies has some read for a while along with a steady publisher, and
// returns how long their messages took. None may be missing.
func (s *besieged) latencies(t *testing.T, readers int, took time.Duration) (all []time.Duration) {
	t.Helper()
	before := s.usage(t).subscribers
	listeners := s.listen(t, readers, "/subscribe", false)
	chattest.Eventually(t, "all are there", func() bool { return s.usage(t).subscribers >= before+readers })
	var reading sync.WaitGroup
	for _, l := range listeners {
		reading.Go(func() { l.err = l.run("last") })
	}
	var want []string
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < took; <-tick.C {
		want = append(want, fmt.Sprint(len(want)))
		s.Post(t, "/update", fmt.Sprintf("%s %d", want[len(want)-1], time.Now().UnixNano()))
	}
	s.Post(t, "/update", "last")
	reading.Wait()
	for i, l := range listeners {
		if !slices.Equal(l.texts, append(slices.Clip(want), "last")) {
			t.Fatalf("reader %d got %d messages, want %d, or in another order; %v", i, len(l.texts), len(want)+1, l.err)
		}
		all = append(all, l.latencies...)
		l.conn.Close()
	}
	slices.Sort(all)
	return all
}
