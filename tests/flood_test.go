//go:build linux && !race

package tests

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// 200 of 1,000 readers read nothing any more. The others miss nothing, those
// who stall are cut, memory is bounded and is given back.
func TestStalledReadersCostNobody(t *testing.T) {
	const good, messages = 800, 100
	// the kernel takes up to 4 MB for one that is not parked before it stalls
	for park, stalled := range map[string]int{"on": 200, "off": 30} {
		t.Run("park "+park, func(t *testing.T) {
			s := besiege(t, "write_timeout 1s\nmax_text 30KiB\npark "+park)
			s.Post(t, "/update", "first")
			base := s.usage(t)
			listeners := s.listen(t, good, "/subscribe", false)
			s.listen(t, stalled, "/subscribe?room=lobby&room=flood", true)
			chattest.Eventually(t, "all are there", func() bool { return s.usage(t).subscribers == good+stalled })
			var reading sync.WaitGroup
			for _, l := range listeners {
				reading.Go(func() {
					l.err = l.run("last")
				})
			}
			peak := 0
			want := make([]string, 0, messages+1)
			for i := range messages {
				want = append(want, fmt.Sprint(i))
				s.Post(t, "/update", fmt.Sprintf("%d %d %s", i, time.Now().UnixNano(), strings.Repeat("x", 4<<10)))
				if i%50 == 49 {
					peak = max(peak, s.usage(t).heap)
				}
			}
			chattest.Eventually(t, "those who stall are cut", func() bool {
				for range 5 {
					s.Post(t, "/update?room=flood", strings.Repeat("x", 30<<10))
				}
				return s.usage(t).subscribers <= good
			})
			s.Post(t, "/update", "last")
			reading.Wait()
			var latencies []time.Duration
			for i, l := range listeners {
				if !slices.Equal(l.texts, append(want, "last")) {
					t.Fatalf("reader %d got %d messages, want %d, or in another order; %v", i, len(l.texts), messages+1, l.err)
				}
				latencies = append(latencies, l.latencies...)
				l.conn.Close()
			}
			slices.Sort(latencies)
			t.Logf("p50 %s, p99 %s, heap at most %d MB", latencies[len(latencies)/2], latencies[len(latencies)*99/100], peak>>20)
			if peak > 100<<20 {
				t.Errorf("the heap had %d MB", peak>>20)
			}
			s.backTo(t, base, "lobby", "flood")
		})
	}
}

// Readers who ask for all there is and read nothing hold no more than others.
func TestReplayIsNoAmplifier(t *testing.T) {
	s := besiege(t, "write_timeout 1m\nmax_text 30KiB\nmax_subscribers 1000 20")
	for range 300 {
		s.Post(t, "/update", strings.Repeat("x", 30<<10))
	}
	base := s.usage(t)
	var conns []net.Conn
	for range 50 {
		conn := s.Dial(t)
		defer conn.Close()
		fmt.Fprintf(conn, "GET /subscribe?last=1000 HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
		conns = append(conns, conn)
	}
	chattest.Eventually(t, "one client has as many streams as it may", func() bool { return s.usage(t).subscribers == 20 })
	if u := s.usage(t); u.heap > base.heap+20<<20 {
		t.Errorf("%d readers of 9 MB each have %d MB", u.subscribers, (u.heap-base.heap)>>20)
	}
	for _, conn := range conns {
		conn.Close()
	}
	s.backTo(t, base)
}

// 50,000 come and go, in each way there is to go.
func TestComeAndGo(t *testing.T) {
	s := besiege(t, "heartbeat 1s")
	s.Post(t, "/update", "x")
	base := s.usage(t)
	var next atomic.Int64
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() {
			for i := next.Add(1); i <= 50_000; i = next.Add(1) {
				conn, err := net.Dial("tcp", s.Addr)
				if err != nil {
					t.Error(err)
					return
				}
				request := fmt.Sprintf("GET /subscribe?events=1&room=r%d HTTP/1.1\r\nHost: %s\r\n\r\n", i%100, s.Addr)
				switch i % 4 {
				case 0: // before it has asked
					request = request[:len(request)-4]
					fallthrough
				case 1: // before it is answered
					_, _ = io.WriteString(conn, request)
				default: // while it is parked
					_, _ = io.WriteString(conn, request)
					_, _ = conn.Read(make([]byte, 1024))
				}
				if i%3 == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				conn.Close()
			}
		})
	}
	crowd.Wait()
	s.backTo(t, base)
}

// Rooms beyond max_rooms take the place of others; rooms that are read and
// left are given back.
func TestTooManyRooms(t *testing.T) {
	s := besiege(t, "max_rooms 1000")
	var batch strings.Builder
	for i := range 10 {
		fmt.Fprintf(&batch, "{\"text\":\"%d %s\"}\n", i, strings.Repeat("x", 100))
	}
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			if a := s.Do(t, http.MethodPost, fmt.Sprint("/update?room=room-", i), batch.String(), "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
				t.Fatalf("room %d: %d %s", i, a.Status, a.Body)
			}
		}
	}
	fill(0, 2000)
	base := s.usage(t)
	fill(2000, soak(10_000, 100_000))
	if u := s.usage(t); u.heap > base.heap+4<<20 {
		t.Errorf("many rooms have %d KB more than 2,000", (u.heap-base.heap)>>10)
	}
	for round := range 20 {
		for stream := range 10 {
			path := "/subscribe?"
			for i := range 100 {
				path += fmt.Sprintf("room=r-%d-%d-%d&", round, stream, i)
			}
			c := s.Stream(t, path)
			c.Until(t, "retry: ")
			c.Close()
		}
	}
	s.backTo(t, base)
}

// Who stalls with half a request is no one's burden, and those who are there
// notice nothing.
func TestHalfRequests(t *testing.T) {
	s := besiege(t, "")
	s.Post(t, "/update", "x")
	base := s.usage(t)
	c := s.Stream(t, "/subscribe")
	c.Until(t, "retry: ")
	var conns []net.Conn
	for i := range 600 {
		conn := s.Dial(t)
		defer conn.Close()
		_, _ = io.WriteString(conn, []string{
			"GET /subsc", // no more of a header
			"POST /update HTTP/1.1\r\nHost: " + s.Addr + "\r\nContent-Length: 1000\r\n\r\n{\"text\":\"",
			"GET /subscribe HTTP/1.1\r\nHost: " + s.Addr + "\r\nTransfer-Encoding: chunked\r\n\r\n",
		}[i%3])
		conns = append(conns, conn)
	}
	for i := range 50 {
		m := s.Post(t, "/update", fmt.Sprint(i))
		if got := c.Next(t).Message(t); got != m {
			t.Fatalf("got %+v, want %+v", got, m)
		}
	}
	if u := s.usage(t); u.heap > base.heap+40<<20 {
		t.Errorf("600 half requests have %d MB", (u.heap-base.heap)>>20)
	}
	for _, conn := range conns {
		conn.Close()
	}
	c.Close()
	s.backTo(t, base)
}

// A stream that cannot be parked goes on as others do, and the log says why.
func TestOutOfDescriptorsForParking(t *testing.T) {
	s := besiege(t, "")
	s.Post(t, "/update", "x") // over a connection that stays
	var conns []*bufio.ReadWriter
	for range 3 {
		conn := s.Dial(t)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(chattest.Patience))
		rw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
		conns = append(conns, rw)
		s.ask(t, rw, "HEAD /subscribe")
	}
	var before unix.Rlimit
	if err := unix.Prlimit(s.Pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	// No descriptor may be as high as the limit: first none is free, then one, for the
	// poller but not for a socket of the stream's own, then many.
	for i, limit := range []uint64{3, s.lowestFree(t) + 1, before.Cur} {
		if err := unix.Prlimit(s.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}, nil); err != nil {
			t.Fatal(err)
		}
		s.ask(t, conns[i], "GET /subscribe")
		m := s.Post(t, "/update", "y")
		for line := ""; !strings.Contains(line, m.ID); {
			var err error
			if line, err = conns[i].ReadString('\n'); err != nil {
				t.Fatalf("with descriptors below %d: the message does not come: %v", limit, err)
			}
		}
	}
	chattest.Eventually(t, "the log says why streams are not parked", func() bool {
		return strings.Contains(s.Log(t), "streams are not parked for now")
	})
}

// lowestFree returns the number that the next descriptor of the process will have.
func (s *besieged) lowestFree(t *testing.T) (n uint64) {
	t.Helper()
	for ; ; n++ {
		_, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", s.Pid, n))
		if errors.Is(err, fs.ErrNotExist) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ask sends a request without a body and reads the answer's header.
func (s *besieged) ask(t *testing.T, conn *bufio.ReadWriter, request string) {
	t.Helper()
	fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\n\r\n", request, s.Addr)
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = conn.ReadString('\n'); err != nil {
			t.Fatalf("%s: %v", request, err)
		}
	}
}

// Without descriptors there are no new streams for a while. Those that are
// there go on, and so does the store on disk.
func TestOutOfDescriptors(t *testing.T) {
	s := besiege(t, fmt.Sprintf("store bolt %q", filepath.Join(t.TempDir(), "chat.db")))
	c := s.Stream(t, "/subscribe")
	first := s.Post(t, "/update", "x") // over a connection that stays
	c.Until(t, "\n\n")
	base := s.usage(t)
	limit := unix.Rlimit{Cur: uint64(base.files + 20), Max: unix.RLIM_INFINITY}
	var before unix.Rlimit
	if err := unix.Prlimit(s.Pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	limit.Max = before.Max
	if err := unix.Prlimit(s.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	streams := s.listen(t, 100, "/subscribe", false) // most wait to be accepted
	for i := range 50 {
		m := s.Post(t, "/update", fmt.Sprint(i))
		if got := c.Next(t).Message(t); got != m {
			t.Fatalf("got %+v, want %+v", got, m)
		}
	}
	for _, l := range streams {
		l.conn.Close()
	}
	chattest.Eventually(t, "a new stream begins", func() bool {
		again := s.Stream(t, "/subscribe", "Last-Event-ID: "+first.ID)
		defer again.Close()
		return again.Next(t).Message(t).Text == "0"
	})
	c.Close()
	base.subscribers = 0
	s.backTo(t, base)
}
