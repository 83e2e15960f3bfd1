package ssechat

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/wire"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// rawStream is a stream over HTTP/1 as it is on the wire.
type rawStream struct {
	conn   net.Conn
	reader *bufio.Reader
	header string
}

func (s *site) rawStream(t *testing.T, version, path string, header ...string) *rawStream {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(s.url, "https") {
		conn = tls.Client(conn, insecure())
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	fields := ""
	for _, field := range header {
		fields += field + "\r\n"
	}
	fmt.Fprintf(conn, "GET %s HTTP/%s\r\nHost: %s\r\n%s\r\n", path, version, strings.TrimPrefix(strings.TrimPrefix(s.url, "https://"), "http://"), fields)
	r := &rawStream{conn: conn, reader: bufio.NewReader(conn)}
	for {
		line, err := r.reader.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, r.header+line)
		}
		if line == "\r\n" {
			return r
		}
		r.header += line
	}
}

// until returns all that comes up to something.
func (r *rawStream) until(t *testing.T, what string) string {
	t.Helper()
	var got []byte
	for !bytes.HasSuffix(got, []byte(what)) {
		b, err := r.reader.ReadByte()
		if err != nil {
			t.Fatalf("%v before %q", err, what)
		}
		got = append(got, b)
	}
	return string(got)
}

// rest returns all that comes until the connection ends.
func (r *rawStream) rest(t *testing.T) string {
	t.Helper()
	rest, err := io.ReadAll(r.reader)
	if err != nil {
		t.Fatalf("%v after %d bytes", err, len(rest))
	}
	return string(rest)
}

// Over HTTP/1.1 each chunk ends with an event, and a stream that the server
// ends has a last chunk, whoever writes for it: also where a reader takes what
// is written in pieces, and replay and named events are between. A client of
// HTTP/1.0 gets the same without chunks.
func TestEventsOnTheWire(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, park := range []string{"on", "off"} {
			for _, version := range []string{"1.1", "1.0"} {
				t.Run(fmt.Sprintf("%s, park %s, HTTP/%s", scheme, park, version), func(t *testing.T) {
					testEventsOnTheWire(t, scheme, park, version)
				})
			}
		}
	}
}

func testEventsOnTheWire(t *testing.T, scheme, park, version string) {
	addr := freeAddr(t)
	if err := loadCaddyfile(t, caddyfileFor(scheme, addr, "heartbeat 100ms\nwrite_timeout 30s\nretain 20000\npark "+park)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	}()
	_, port, _ := net.SplitHostPort(addr)
	s := &site{addr: addr, url: scheme + "://localhost:" + port, client: &http.Client{Transport: &http.Transport{TLSClientConfig: insecure()}}}
	if scheme == "http" {
		s.url = "http://" + addr
	}
	defer s.client.CloseIdleConnections()
	s.ready(t)

	var sent []chattest.Message
	publish := func(n int) {
		var batch strings.Builder
		for range n {
			fmt.Fprintf(&batch, "{\"text\":\"%s\"}\n", strings.Repeat("x", 1000))
		}
		a := s.do(t, http.MethodPost, "/update", batch.String(), "Content-Type: application/x-ndjson")
		for line := range strings.Lines(a.body) {
			var m chattest.Message
			chattest.Event{Data: line}.Decode(t, &m)
			sent = append(sent, m)
		}
	}
	publish(100)
	const path = "/subscribe?events=1&last=100"
	streams := []*rawStream{s.rawStream(t, version, path), s.rawStream(t, version, path)}
	if park == "on" {
		waitParked(t, hubOf(t, "default"), 2)
	}
	for range 4 { // more than sockets take of those who do not read
		publish(500)
	}
	for _, r := range streams {
		if chunked := strings.Contains(r.header, "Transfer-Encoding: chunked"); chunked != (version == "1.1") {
			t.Errorf("header %q", r.header)
		}
		if strings.Contains(r.header, "Content-Length") || !strings.Contains(r.header, "Connection: close") {
			t.Errorf("header %q", r.header)
		}
	}
	got := make(map[*rawStream]string)
	for _, r := range streams {
		got[r] = r.until(t, "\nid: "+sent[len(sent)-1].ID+"\n") + r.until(t, "event: ping")
	}
	hubOf(t, "default").EndAll(hub.EndKicked)
	for _, r := range streams {
		body := got[r] + r.rest(t)
		if version == "1.1" {
			var ok bool
			if body, ok = strings.CutSuffix(body, wire.LastChunk); !ok {
				t.Fatalf("no last chunk: %.200q", body[max(0, len(body)-200):])
			}
			body = chattest.Dechunk(t, body)
		}
		var texts, pings int
		for _, e := range chattest.ParseStream(body) {
			switch e.Name {
			case "":
				if e.Message(t); texts >= len(sent) || e.ID != sent[texts].ID {
					t.Fatalf("message %d is %+v", texts, e)
				}
				texts++
			case "ping":
				pings++
			case "hello", "live", "presence", "bye":
			default:
				t.Errorf("got %+v", e)
			}
		}
		if texts != len(sent) || pings == 0 {
			t.Errorf("%d messages, want %d, and %d pings", texts, len(sent), pings)
		}
	}
}

// What is full or leaves answers in chunks, too.
func TestAnAnswerToComeBackLaterHasNoLength(t *testing.T) {
	eachProtocol(t, "max_subscribers 1", func(t *testing.T, s *site, _ int) {
		first := s.stream(t, "/subscribe")
		defer first.close()
		first.text(t, ":ok\n")
		a := s.do(t, http.MethodGet, "/subscribe", "")
		if length := a.header.Get("Content-Length"); length != "" || !strings.HasPrefix(a.body, "retry: ") {
			t.Errorf("Content-Length %q of %q", length, a.body)
		}
	})
}

// asBrowser is what a browser's own EventSource sends, as Chromium 156 and
// Firefox 153 do.
var asBrowser = []string{
	"Accept: text/event-stream", "Cache-Control: no-cache", "Pragma: no-cache",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
}

// A reader who is cut off before its first message resumes where it began.
func TestWhoIsCutOffBeforeTheFirstMessageLosesNothing(t *testing.T) {
	eachProtocol(t, "", func(t *testing.T, s *site, _ int) {
		old := s.post(t, "/update", "old")
		for _, test := range []struct {
			name, query, first string
			header             []string
			replays            bool
		}{
			{"a browser", "", "start", asBrowser, false},
			{"a browser with last", "?last=1", "start", asBrowser, true},
			{"named events", "?events=1", "hello", nil, false},
			{"a browser with named events", "?events=1&last=1", "hello", asBrowser, true},
			{"a browser in another room", "?room=empty", "start", asBrowser, false},
		} {
			t.Run(test.name, func(t *testing.T) {
				c := s.stream(t, "/subscribe"+test.query, test.header...)
				begin := c.next(t)
				c.close()
				if id, err := store.ParseID(begin.ID); begin.Name != test.first || err != nil || test.first == "start" && begin.Data != begin.ID {
					t.Fatalf("the stream begins with %+v (%v, %v)", begin, id, err)
				}
				room := ""
				if strings.Contains(test.query, "room") {
					room = test.query
				}
				missed := s.post(t, "/update"+room, "missed")
				again := s.stream(t, "/subscribe"+test.query, append(test.header, "Last-Event-ID: "+begin.ID)...)
				defer again.close()
				wanted := []chattest.Message{missed}
				if test.replays {
					wanted = []chattest.Message{old, missed}
				}
				for _, want := range wanted {
					e := again.next(t)
					for e.Name == "hello" {
						if e.ID != "" || strings.Contains(e.Data, `"resumed":false`) {
							t.Errorf("resumed with %+v", e)
						}
						e = again.next(t)
					}
					if e.Name != "" || e.Message(t) != want {
						t.Fatalf("resumed with %+v, want %+v", e, want)
					}
				}
				old = missed
				if room != "" {
					old = s.post(t, "/update", "old")
				}
			})
		}
	})
}

// Who hands every event to one callback gets no event but messages.
func TestWhoIsNoBrowserGetsNoStart(t *testing.T) {
	s := serve(t, "")
	for name, header := range map[string][]string{
		"curl":                   {"Accept: */*", "User-Agent: curl/8"},
		"a script's fetch":       {"Accept: text/event-stream", asBrowser[3]},
		"a fetch without cache":  {"Accept: text/event-stream, */*", asBrowser[1], asBrowser[2], asBrowser[3]},
		"two kinds":              {"Accept: text/event-stream", "Accept: text/html", asBrowser[1], asBrowser[2], asBrowser[3]},
		"a library":              {asBrowser[0], asBrowser[1], asBrowser[2], "User-Agent: node"},
		"only Cache-Control":     {asBrowser[0], asBrowser[1], asBrowser[3]},
		"one who has an id":      append([]string{"Last-Event-ID: 0"}, asBrowser...),
		"nothing":                nil,
		"a browser, reloaded":    {asBrowser[0], "Cache-Control: max-age=0", asBrowser[2], asBrowser[3]},
		"one who has a wrong id": append([]string{"Last-Event-ID: x"}, asBrowser...),
	} {
		t.Run(name, func(t *testing.T) {
			c := s.stream(t, "/subscribe", header...)
			m := s.post(t, "/update", "x")
			for e := c.next(t); e.ID != m.ID; e = c.next(t) {
				if e.Name != "gap" {
					e.Message(t)
				}
			}
		})
	}
}

// An empty hub's starting point is before all messages.
func TestTheFirstMessageOfAHubIsNotLost(t *testing.T) {
	for _, st := range []string{"memory", "bolt " + t.TempDir() + "/chat.db"} {
		t.Run(st[:4], func(t *testing.T) {
			s := serve(t, "hub "+st[:4]+"\nstore "+st)
			c := s.stream(t, "/subscribe", asBrowser...)
			id := c.next(t).ID
			c.close()
			m := s.post(t, "/update", "first")
			again := s.stream(t, "/subscribe", "Last-Event-ID: "+id)
			if got := again.next(t).Message(t); got != m {
				t.Errorf("after %q: %+v, want %+v", id, got, m)
			}
		})
	}
}

// The name that the configuration gives is told, another is not.
func TestHelloTellsTheReadersName(t *testing.T) {
	s := serve(t, "name {http.request.header.X-User}")
	for _, test := range []struct {
		header []string
		want   string
	}{
		{[]string{"X-User: kim"}, `"you":{"name":"kim"}}`},
		{nil, `"resumed":false}`},
	} {
		if e := s.stream(t, "/subscribe?events=1&name=lee", test.header...).next(t); e.Name != "hello" || !strings.HasSuffix(e.Data, test.want) {
			t.Errorf("%v: %+v", test.header, e)
		}
	}
	s.load(t, "sse_chat")
	if e := s.stream(t, "/subscribe?events=1&name=lee").next(t); strings.Contains(e.Data, `"you"`) {
		t.Errorf("got %+v", e)
	}
}

// A store that hangs holds up no request, and a stream tries again.
func TestAStoreThatHangsHoldsUpNoReader(t *testing.T) {
	s := serve(t, "store fragile")
	b := hubOf(t, "default")
	parked := s.stream(t, "/subscribe")
	waitParked(t, b, 1)
	m := s.post(t, "/update", "x")
	parked.next(t)
	fragileGivenUp.Store(0)
	fragileHangs.Store(true)
	defer fragileHangs.Store(false)
	b.Missed(b.State().Latest, false) // so that it has to ask the store
	fresh := s.stream(t, "/subscribe?last=1")
	a := s.do(t, http.MethodGet, "/history", "")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("/history: %d %s", a.status, a.body)
	}
	eventually(t, "all three reads are given up", func() bool { return fragileGivenUp.Load() >= 3 })
	fragileHangs.Store(false)
	if got := fresh.next(t).Message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	if e := parked.next(t); e.Name != "gap" {
		t.Errorf("got %+v, want a gap", e)
	}
}
