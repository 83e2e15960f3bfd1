package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// figures skips what only measures, unless it is asked for.
func figures(t *testing.T) {
	t.Helper()
	if os.Getenv("FIGURES") == "" {
		t.Skip("set FIGURES=1 to measure")
	}
}

// inMemory makes the stream that a store will find in the server's memory.
func inMemory(t *testing.T, server *natsServer, stream string, limits store.Limits) {
	t.Helper()
	s, err := (&jetstream.Module{URLs: urls(server), Stream: stream}).Open("test", new(storetest.Hub), limits)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	js := client(t, server.url())
	made, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	config := made.CachedInfo().Config
	config.Storage = natsjs.MemoryStorage
	if err := js.DeleteStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

func TestFigureThroughput(t *testing.T) {
	figures(t)
	nats := single(t)
	module := &jetstream.Module{URLs: urls(nats), Stream: newStream()}
	inMemory(t, nats, module.Stream, few)
	s := open(t, module, new(storetest.Hub), few)
	const publishers, length = 256, 10 * time.Second
	var n atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var publishing sync.WaitGroup
	begin, used := time.Now(), ownCPU(t)
	for p := range publishers {
		publishing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := s.Append(t.Context(), fmt.Sprint("r", p%64), []store.Draft{{Text: "a message of about fifty bytes, as in a usual chat"}}); err != nil {
					t.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	publishing.Wait()
	used = ownCPU(t) - used
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("%.0f publishes a second with %d publishers, stored and delivered back, for %.0f µs of CPU each, the server's included; load average %s",
		float64(n.Load())/time.Since(begin).Seconds(), publishers, float64(used.Microseconds())/float64(n.Load()), load)
}

// ownCPU returns the CPU time that this process has used, which does not depend
// on what else the machine does.
func ownCPU(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func TestFigureJoin(t *testing.T) {
	figures(t)
	node := single(t)
	module := &jetstream.Module{URLs: urls(node), Stream: newStream()}
	limits := store.Limits{Count: 1000, Rooms: 100_000}
	open(t, module, new(storetest.Hub), limits)
	js := client(t, node.url())
	const messages, rooms = 1_000_000, 1000
	for i := range messages {
		m := &nats.Msg{Subject: fmt.Sprintf("sse_chat.%s.room.r%d", module.Stream, i%rooms), Data: []byte(`{"text":"a message of about fifty bytes, as in a usual chat"}`)}
		m.Header = map[string][]string{"Sse-Chat-Floor": {"0"}}
		if _, err := js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
		if i%2000 == 1999 {
			<-js.PublishAsyncComplete()
		}
	}
	begin := time.Now()
	late := open(t, module, new(storetest.Hub), limits)
	took := time.Since(begin)
	begin = time.Now()
	ids, _ := readAll(t, late, store.ID{}, "r7")
	t.Logf("a node joins a stream of %d messages in %d rooms in %s, and reads the %d messages of a room in %s", messages, rooms, took, len(ids), time.Since(begin))
}

// latency publishes now and then and returns how long it takes until a reader
// has the message.
func latency(t *testing.T, url string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, ready := make(chan time.Time, 1), make(chan struct{})
	go func() {
		_ = subscribe(ctx, url, "events=1&room=latency", "", func(e chattest.Event) bool {
			switch e.Name {
			case "live":
				close(ready)
			case "":
				got <- time.Now()
			}
			return true
		})
	}()
	<-ready
	var all []time.Duration
	for i := range 300 {
		begin := time.Now()
		if status, _ := post(ctx, url, "latency", "x", fmt.Sprint("l", i)); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		all = append(all, (<-got).Sub(begin))
		time.Sleep(2 * time.Millisecond)
	}
	slices.Sort(all)
	t.Logf("%s: p50 %s, p99 %s", url, all[len(all)/2], all[len(all)*99/100])
	return all[len(all)/2]
}

func TestFigureLatency(t *testing.T) {
	figures(t)
	nats := single(t)
	memory := "http://127.0.0.1:" + chattest.FreePort(t)
	caddytest.Start(t, memory, "\tsse_chat")
	n := startCaddy(t, urls(nats), "")
	base, added := latency(t, memory), latency(t, n.URL)
	t.Logf("a message takes %s longer than with the memory store at p50 on one server", added-base)
	servers := cluster(t, 3)
	c := startCaddy(t, urls(servers...), "replicas 3")
	waitForPeers(t, servers, "SSE_CHAT_default")
	t.Logf("and %s longer on three", latency(t, c.URL)-base)
}

// TestFigureGrowth adds nodes with equally many readers each, and measures what
// a delivery costs the nodes.
func TestFigureGrowth(t *testing.T) {
	figures(t)
	for _, size := range []int{1, 2, 4, 8} {
		nats := single(t)
		nodes := make([]*caddyNode, size)
		for i := range nodes {
			nodes[i] = startCaddy(t, urls(nats), "")
		}
		const readers, messages = 100, 200
		var delivered atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var ready, reading sync.WaitGroup
		for _, n := range nodes {
			for range readers {
				ready.Add(1)
				reading.Go(func() {
					n, live := n, false
					_ = subscribe(ctx, n.URL, "events=1&room=growth", "", func(e chattest.Event) bool {
						if e.Name == "live" && !live {
							live = true
							ready.Done()
						}
						if e.Name == "" {
							delivered.Add(1)
							return !strings.Contains(e.Data, "last")
						}
						return true
					})
				})
			}
		}
		ready.Wait()
		time.Sleep(time.Second) // until presence has been told
		before := cpuOf(t, nodes)
		for i := range messages {
			text := "x"
			if i == messages-1 {
				text = "last"
			}
			post(ctx, nodes[i%size].URL, "growth", text, fmt.Sprint("g", i))
		}
		reading.Wait()
		cancel()
		cpu := cpuOf(t, nodes) - before
		t.Logf("%d nodes: %d deliveries, %.1f µs of CPU in Caddy for each", size, delivered.Load(), float64(cpu.Microseconds())/float64(delivered.Load()))
		for _, n := range nodes {
			n.Kill(t)
		}
	}
}

// cpuOf returns the CPU time that processes have used.
func cpuOf(t *testing.T, nodes []*caddyNode) (sum time.Duration) {
	t.Helper()
	tick := time.Second / 100 // USER_HZ
	for _, n := range nodes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.Pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		var user, system int64
		fmt.Sscan(fields[11], &user)
		fmt.Sscan(fields[12], &system)
		sum += time.Duration(user+system) * tick
	}
	return sum
}
