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

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// parkedStreams returns how many streams of a hub are parked.
func parkedStreams(h *openHub) int {
	return h.lot.Size()
}

func waitParked(t *testing.T, b *openHub, n int) {
	t.Helper()
	chattest.Eventually(t, fmt.Sprintf("%d streams are parked", n), func() bool {
		return parkedStreams(b) == n
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
			s := caddytest.ServeSite(t, test.block)
			c := s.Stream(t, "/subscribe", test.header...)
			m := s.Post(t, "/update", "x")
			if got := c.Next(t).Message(t); got != m {
				t.Errorf("got %+v, want %+v", got, m)
			}
			b := hubOf(t, "default")
			if test.want == 0 {
				// it tries to park before it waits
				chattest.Eventually(t, "the stream waits in its handler", func() bool { return chattest.WaitingIn("(*stream).run") == 1 })
				if n := parkedStreams(b); n != 0 {
					t.Errorf("%d streams are parked, want none", n)
				}
				return
			}
			waitParked(t, b, test.want)
		})
	}
}

// Streams over HTTP/1.1 are parked, and over HTTP/2 with TLS.
func TestWhichProtocolsAreParked(t *testing.T) {
	caddytest.EachProtocol(t, "", func(t *testing.T, s *chattest.Site, major int) {
		c := s.Stream(t, "/subscribe")
		m := s.Post(t, "/update", "x")
		if got := c.Next(t).Message(t); got != m {
			t.Errorf("got %+v, want %+v", got, m)
		}
		want := 0
		if major == 1 && !strings.HasSuffix(t.Name(), "not_parked") || strings.HasSuffix(t.Name(), "HTTP/2") {
			want = 1
		}
		waitParked(t, hubOf(t, "default"), want)
		m = s.Post(t, "/update", strings.Repeat("y", 8<<10))
		if got := c.Next(t).Message(t); got != m {
			t.Errorf("got %+v, want %+v", got, m)
		}
	})
}

// A parked stream holds no goroutine, and what it held is given back at its end.
func TestParkedStreamsHoldNoGoroutine(t *testing.T) {
	s := caddytest.Serve(t, "")
	b := hubOf(t, "default")
	s.Stream(t, "/subscribe").Close()
	waitParked(t, b, 0)
	s.Client.CloseIdleConnections()
	goroutines, files := runtime.NumGoroutine(), chattest.OpenFiles(t)
	const n = 200
	conns := make([]net.Conn, n)
	for i := range conns {
		conn := s.Dial(t)
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET /subscribe HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	waitParked(t, b, n)
	chattest.Eventually(t, "no goroutine is left for a stream", func() bool { return runtime.NumGoroutine() < goroutines+20 })
	for _, conn := range conns {
		conn.Close()
	}
	chattest.Eventually(t, "all are gone", func() bool {
		return parkedStreams(b) == 0 && b.Counts.Subscribers.Load() == 0 && chattest.OpenFiles(t) <= files+1
	})
}

// serveEachParked runs a test over each way in which streams are parked, on a new
// site each time.
func serveEachParked(t *testing.T, block string, run func(*testing.T, *chattest.Site)) {
	for name, serve := range map[string]func(testing.TB, string) *chattest.Site{"HTTP/1.1": caddytest.ServeSite, "HTTP/2": caddytest.ServeHTTP2} {
		t.Run(name, func(t *testing.T) { run(t, serve(t, block)) })
	}
}

// A reload leaves parked streams where they are, under whatever configuration
// comes next, as long as it has their hub.
func TestAReloadLeavesParkedStreamsAlone(t *testing.T) {
	serveEachParked(t, "sse_chat {\nheartbeat 1m\n}", func(t *testing.T, s *chattest.Site) {
		b := hubOf(t, "default")
		c := s.Stream(t, "/subscribe?events=1")
		c.Until(t, "event: live")
		waitParked(t, b, 1)
		for i := range 3 {
			caddytest.Load(t, s, fmt.Sprintf("sse_chat {\nretry %ds\n}", i+1))
			m := s.Post(t, "/update", fmt.Sprint(i))
			c.Until(t, fmt.Sprintf("\nid: %s\n", m.ID))
		}
		caddytest.Load(t, s, "respond gone")
		rest, err := c.Rest(t)
		if err != io.EOF || !strings.Contains(rest, `event: bye
data: {"reason":"reload"`) {
			t.Errorf("without its hub it ends with %q, %v", rest, err)
		}
	})
}

// The line in the access log comes at the end of a stream, to the log that is
// in force then, and once.
func TestAccessLogOfParkedStreams(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log")
	block := func(log string) string {
		return fmt.Sprintf("log {\noutput file %s\n}\nsse_chat {\nname {query.as}\n}", log)
	}
	s := caddytest.ServeSite(t, block(first))
	b := hubOf(t, "default")
	short, long, last := s.Stream(t, "/subscribe?room=a&as=kim", "User-Agent: short"), s.Stream(t, "/subscribe?room=a&room=b", "User-Agent: long"), s.Stream(t, "/subscribe", "User-Agent: last")
	waitParked(t, b, 3)
	s.Post(t, "/update?room=a", "x")
	short.Next(t)
	long.Next(t)
	short.Close()
	waitParked(t, b, 2)
	caddytest.Load(t, s, block(second))
	long.Close()
	waitParked(t, b, 1)
	caddytest.Load(t, s, "respond gone")
	last.Rest(t)
	for _, test := range []struct {
		file, agent string
		want        []string
	}{
		{first, "short", []string{`"sse_events":1`, `"sse_reason":"client"`, `"room":"a"`, `"status":200`, `"uri":"/subscribe?room=a&as=kim"`, `"client_ip":"127.0.0.1"`, `"X-Accel-Buffering":["no"]`}},
		{second, "long", []string{`"sse_events":1`, `"sse_reason":"client"`, `"room":"a,b"`}},
	} {
		var line string
		chattest.Eventually(t, test.agent+" is logged", func() bool {
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
	p := caddytest.Start(t, "http://"+chattest.FreeAddr(t), fmt.Sprintf("log {\noutput file %s\n}\nsse_chat", log))
	c := p.Stream(t, "/subscribe", "User-Agent: reader")
	m := p.Post(t, "/update", "x")
	if got := c.Next(t).Message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	p.Terminate(t)
	c.Rest(t)
	if lines := logLines(log, "reader"); len(lines) != 1 || !strings.Contains(lines[0], `"sse_reason":"exit"`) {
		t.Errorf("logged: %q", lines)
	}
}

// Nothing that stands around a stream holds it back or changes it, and nothing
// writes to its connection when it is parked.
func TestWhatStandsAroundAStream(t *testing.T) {
	for _, test := range []struct{ name, block string }{
		{"encode", "encode"},
		{"encode for streams", "encode {\nminimum_length 1\nmatch {\nheader Content-Type text/event-stream*\n}\n}"},
		{"templates", "templates"},
		{"templates for JSON", "templates {\nmime application/json\n}"},
		{"push", "push /style.css"},
		{"intercept of errors", "intercept {\n@error status 4xx 5xx\nhandle_response @error {\nrespond sorry\n}\nreplace_status @error 200\n}"},
		{"all", "encode\npush\ntemplates\nintercept {\n@error status 5xx\nhandle_response @error {\nrespond sorry\n}\n}\nlog {\noutput discard\n}\nheader >X-Late 1"},
	} {
		for _, park := range []string{"on", "off"} {
			t.Run(test.name+", park "+park, func(t *testing.T) {
				s := caddytest.ServeSite(t, test.block+"\nsse_chat {\npark "+park+"\n}")
				r := s.RawStream(t, "1.1", "/subscribe", "Accept-Encoding: gzip, zstd")
				if park == "on" {
					waitParked(t, hubOf(t, "default"), 1)
				}
				for _, unwanted := range []string{"Content-Encoding", "Accept-Encoding"} {
					if strings.Contains(r.Header, unwanted) {
						t.Errorf("the header is changed: %q", r.Header)
					}
				}
				r.Until(t, "retry: 10000\n")
				m := s.Post(t, "/update", "x")
				want := "id: " + m.ID + "\ndata: "
				if got := r.Until(t, "\n\n"); !strings.Contains(got, want) || strings.Count(got, "\n\n") != 1 {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}
