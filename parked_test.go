package ssechat

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// parkedStreams returns how many streams of a hub are parked.
func parkedStreams(b *broker) int {
	b.lotMu.Lock()
	l := b.lot
	b.lotMu.Unlock()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func waitParked(t *testing.T, b *broker, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d streams are parked", n), func() bool {
		parked := 0 // parkedStreams counts those that are about to be, too
		b.wheel.each(func(s *subscriber) {
			if s.parked.Load() != nil {
				parked++
			}
		})
		return parked == n && parkedStreams(b) == n
	})
}

// What waits on a plain connection is parked; the rest is served as ever.
func TestWhatIsParked(t *testing.T) {
	for _, test := range []struct {
		name, block string
		header      []string
		want        int
	}{
		{"a stream", "sse_chat", nil, 1},
		{"with access log, metrics, encode and templates around", "log {\noutput discard\n}\nencode\ntemplates\nsse_chat", []string{"Accept-Encoding: gzip"}, 1},
		{"not if it is turned off", "sse_chat {\npark off\n}", nil, 0},
		{"not what is encoded", "header Content-Encoding identity\nsse_chat", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveSite(t, test.block)
			c := s.stream(t, "/subscribe", test.header...)
			m := s.post(t, "/update", "x")
			if got := c.next(t).message(t); got != m {
				t.Errorf("got %+v, want %+v", got, m)
			}
			time.Sleep(50 * time.Millisecond)
			if got := parkedStreams(brokerOf(t, "default")); got != test.want {
				t.Errorf("%d streams are parked, want %d", got, test.want)
			}
		})
	}
}

// Only over HTTP/1.1 is a connection a stream's own.
func TestWhichProtocolsAreParked(t *testing.T) {
	eachProtocol(t, "", func(t *testing.T, s *site, major int) {
		c := s.stream(t, "/subscribe")
		m := s.post(t, "/update", "x")
		if got := c.next(t).message(t); got != m {
			t.Errorf("got %+v, want %+v", got, m)
		}
		want := 0
		if major == 1 && !strings.HasSuffix(t.Name(), "not_parked") {
			want = 1
		}
		waitParked(t, brokerOf(t, "default"), want)
		m = s.post(t, "/update", strings.Repeat("y", 8<<10))
		if got := c.next(t).message(t); got != m {
			t.Errorf("got %+v, want %+v", got, m)
		}
	})
}

// A parked stream holds no goroutine, and what it held is given back at its end.
func TestParkedStreamsHoldNoGoroutine(t *testing.T) {
	s := serve(t, "")
	b := brokerOf(t, "default")
	s.stream(t, "/subscribe").close()
	waitParked(t, b, 0)
	s.client.CloseIdleConnections()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	const n = 200
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /subscribe HTTP/1.1\r\nHost: %s\r\n\r\n", s.addr); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	waitParked(t, b, n)
	eventually(t, "no goroutine is left for a stream", func() bool { return runtime.NumGoroutine() < goroutines+20 })
	for _, conn := range conns {
		conn.Close()
	}
	eventually(t, "all are gone", func() bool {
		return parkedStreams(b) == 0 && b.counts.subscribers.Load() == 0 && openFiles(t) <= files+1
	})
}

// A reload leaves parked streams where they are, under whatever configuration
// comes next, as long as it has their hub.
func TestAReloadLeavesParkedStreamsAlone(t *testing.T) {
	s := serve(t, "heartbeat 1m")
	b := brokerOf(t, "default")
	c := s.stream(t, "/subscribe?events=1")
	c.text(t, "event: live")
	waitParked(t, b, 1)
	for i := range 3 {
		s.load(t, fmt.Sprintf("sse_chat {\nretry %ds\n}", i+1))
		m := s.post(t, "/update", fmt.Sprint(i))
		c.text(t, fmt.Sprintf("\nid: %s\n", m.ID))
	}
	s.load(t, "respond gone")
	rest, err := c.rest(t)
	if err != io.EOF || !strings.Contains(rest, `event: bye
data: {"reason":"reload"`) {
		t.Errorf("without its hub it ends with %q, %v", rest, err)
	}
}

// The line in the access log comes at the end of a stream, to the log that is
// in force then, and once.
func TestAccessLogOfParkedStreams(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log")
	block := func(log string) string {
		return fmt.Sprintf("log {\noutput file %s\n}\nsse_chat {\nname {query.as}\n}", log)
	}
	s := serveSite(t, block(first))
	b := brokerOf(t, "default")
	short, long, last := s.stream(t, "/subscribe?room=a&as=kim", "User-Agent: short"), s.stream(t, "/subscribe?room=a&room=b", "User-Agent: long"), s.stream(t, "/subscribe", "User-Agent: last")
	waitParked(t, b, 3)
	s.post(t, "/update?room=a", "x")
	short.next(t)
	long.next(t)
	short.close()
	waitParked(t, b, 2)
	s.load(t, block(second))
	long.close()
	waitParked(t, b, 1)
	s.load(t, "respond gone")
	last.rest(t)
	for _, test := range []struct {
		file, agent string
		want        []string
	}{
		{first, "short", []string{`"sse_events":1`, `"sse_reason":"client"`, `"room":"a"`, `"status":200`, `"uri":"/subscribe?room=a&as=kim"`, `"client_ip":"127.0.0.1"`, `"X-Accel-Buffering":["no"]`}},
		{second, "long", []string{`"sse_events":1`, `"sse_reason":"client"`, `"room":"a,b"`}},
	} {
		var line string
		eventually(t, test.agent+" is logged", func() bool {
			lines := logLines(test.file, test.agent)
			if len(lines) > 0 {
				line = lines[0]
			}
			return len(lines) == 1
		})
		for _, want := range append(test.want, `"logger":"http.log.access.log0"`, `"msg":"handled request"`) {
			if !strings.Contains(line, want) {
				t.Errorf("%s is not in %s", want, line)
			}
		}
		var entry struct{ Duration float64 }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Duration <= 0 {
			t.Errorf("duration %v, %v", entry.Duration, err)
		}
	}
	if lines := slices.Concat(logLines(first, "long"), logLines(second, "short")); len(lines) > 0 {
		t.Errorf("in the wrong log: %q", lines)
	}
}

func logLines(file, agent string) (lines []string) {
	content, _ := os.ReadFile(file)
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, fmt.Sprintf(`"User-Agent":[%q]`, agent)) {
			lines = append(lines, line)
		}
	}
	return lines
}

// An exit logs parked streams too.
func TestAccessLogOfParkedStreamsOnExit(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	p := start(t, "http://"+freeAddr(t), fmt.Sprintf("log {\noutput file %s\n}\nsse_chat", log))
	c := p.stream(t, "/subscribe", "User-Agent: reader")
	m := p.post(t, "/update", "x")
	if got := c.next(t).message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	p.caddy.Terminate(t)
	c.rest(t)
	if lines := logLines(log, "reader"); len(lines) != 1 || !strings.Contains(lines[0], `"sse_reason":"exit"`) {
		t.Errorf("logged: %q", lines)
	}
}

// What a full socket has not taken is kept only where it cannot be read again.
func TestTakeBack(t *testing.T) {
	b := newTestBroker(t, plenty)
	var ids []store.ID
	var messages []*store.Message
	for i := range 3 {
		ids = append(ids, b.mustPublish(t, "a", fmt.Sprint("event: ", i)))
		page, err := b.store.Before(t.Context(), "a", newestID, 1)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, page.Messages[0])
	}
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %v", chunked), func(t *testing.T) { testTakeBack(t, messages, ids, chunked) })
	}
}

func testTakeBack(t *testing.T, messages []*store.Message, ids []store.ID, chunked bool) {
	s := &subscriber{chunked: chunked}
	var frames []string
	for _, m := range messages {
		frames = append(frames, string(s.frame(m)))
	}
	named := func(bytes string) string {
		out := batch{bytes: []byte(bytes)}
		s.endNamed(&out, 0)
		return string(out.bytes)
	}
	gap, beat := named(string(appendGap(nil, gapSlow, ids[1]))), named(heartbeatLine)
	all := strings.Join(frames, "")
	for _, test := range []struct {
		name   string
		parts  []string
		n      int
		rest   string
		cursor store.ID
		left   int // messages
	}{
		{"nothing was taken", frames, 0, frames[0], ids[1].Prev(), 1},
		{"a byte", frames, 1, frames[0][1:], ids[1].Prev(), 1},
		{"all but a byte of an event", frames, len(frames[0]) - 1, "\n", ids[1].Prev(), 1},
		{"an event", frames, len(frames[0]), "", ids[1].Prev(), 1},
		{"an event and a byte", frames, len(frames[0]) + 1, frames[1][1:], ids[2].Prev(), 2},
		{"all but a byte", frames, len(all) - 1, "\n", ids[2], 3},
		{"nothing of a gap and an event", []string{gap, frames[2]}, 0, gap, ids[2].Prev(), 0},
		{"before a gap", []string{frames[0], gap, frames[1]}, 3, frames[0][3:] + gap, ids[1].Prev(), 1},
		{"in a gap", []string{frames[0], gap, frames[1]}, len(frames[0]) + 5, gap[5:], ids[1].Prev(), 1},
		{"after a gap", []string{frames[0], gap, frames[1]}, len(frames[0]+gap) + 5, frames[1][5:], ids[2], 2},
		{"a heartbeat", []string{beat}, 1, beat[1:], ids[2], 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.cursor = ids[2]
			var out batch
			for _, part := range test.parts {
				out.bytes = append(out.bytes, part...)
				if i := slices.Index(frames, part); i >= 0 {
					out.marks = append(out.marks, mark{len(out.bytes), ids[i]})
					out.messages++
				} else {
					out.named = len(out.bytes)
				}
			}
			if rest := string(s.takeBack(&out, test.n)); rest != test.rest {
				t.Errorf("rest %q, want %q", rest, test.rest)
			}
			if s.cursor != test.cursor || out.messages != test.left {
				t.Errorf("cursor %v and %d messages, want %v and %d", s.cursor, out.messages, test.cursor, test.left)
			}
		})
	}
}

// A hub that closes takes no stream any more, and leaves no goroutine.
func TestParkingCloses(t *testing.T) {
	b := newTestBroker(t, plenty)
	if b.enterParking() == nil {
		t.Fatal("an open hub parks nothing")
	}
	b.closeParking()
	select {
	case <-b.lot.done:
		t.Fatal("the senders stop although a stream is about to come")
	default:
	}
	if b.enterParking() != nil {
		t.Error("a hub that closes takes another stream")
	}
	b.lot.leave()
	<-b.lot.done
}
