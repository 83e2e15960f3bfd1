package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/store"
)

func TestStreamHeader(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		t.Run(method, func(t *testing.T) {
			var header http.Header
			if method == http.MethodGet {
				c := s.Stream(t, "/subscribe")
				header = c.Response.Header
				if c.Response.StatusCode != http.StatusOK || c.Response.ContentLength != -1 || !slices.Equal(c.Response.TransferEncoding, []string{"chunked"}) || !c.Response.Close {
					t.Errorf("status %d, length %d, encoding %v, close %v",
						c.Response.StatusCode, c.Response.ContentLength, c.Response.TransferEncoding, c.Response.Close)
				}
			} else {
				a := s.Do(t, method, "/subscribe", "")
				if header = a.Header; a.Status != http.StatusOK || a.Body != "" {
					t.Errorf("%d %q", a.Status, a.Body)
				}
			}
			for name, want := range map[string]string{
				"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
				"Incremental": "?1", "X-Content-Type-Options": "nosniff", "Content-Length": "", "Transfer-Encoding": "",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// On the wire the first bytes come at once, and each event is a chunk.
func TestFirstBytes(t *testing.T) {
	s := caddytest.Serve(t, "retry 2s")
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /subscribe HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr)
	_ = conn.SetReadDeadline(time.Now().Add(chattest.Patience))
	var got []byte
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(got), "2000\n\r\n") {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
	header, body, _ := strings.Cut(string(got), "\r\n\r\n")
	if body != "10\r\n:ok\nretry: 2000\n\r\n" {
		t.Errorf("the first bytes are %q", body)
	}
	if !strings.Contains(header, "\r\nConnection: close") || !strings.Contains(header, "\r\nTransfer-Encoding: chunked") {
		t.Errorf("the header is %q", header)
	}
	m := s.Post(t, "/update", "안녕")
	n, err := conn.Read(buf)
	want := fmt.Sprintf("id: %s\ndata: {\"text\":\"안녕\",\"timestamp\":%d,\"id\":\"%s\"}\n\n", m.ID, m.Timestamp, m.ID)
	want = fmt.Sprintf("%x\r\n%s\r\n", len(want), want)
	if err != nil || string(buf[:n]) != want {
		t.Errorf("the first event is %q, %v; want %q, in one piece", buf[:n], err, want)
	}
}

func TestRetryIsRandomWithinItsRange(t *testing.T) {
	s := caddytest.Serve(t, "retry 1s 3s")
	seen := map[string]bool{}
	for range 20 {
		c := s.Stream(t, "/subscribe")
		text := c.Until(t, "retry: ") + c.Until(t, "\n")
		ms, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(text, ":ok\nretry: ")))
		if err != nil || ms < 1000 || ms > 3000 {
			t.Fatalf("retry in %q", text)
		}
		seen[text] = true
		c.Close()
	}
	if len(seen) < 5 {
		t.Errorf("20 streams got only %d different delays", len(seen))
	}
}

func TestIDs(t *testing.T) {
	s := caddytest.Serve(t, "")
	c := s.Stream(t, "/subscribe")
	form := regexp.MustCompile(`^[0-9]+(-[0-9]+)?$`)
	var last store.ID
	for range 200 {
		m := s.Post(t, "/update", "x")
		e := c.Next(t).Message(t)
		id := chattest.MustID(t, e.ID)
		if e.ID != m.ID || !form.MatchString(e.ID) || !id.After(last) || id.Ms != e.Timestamp {
			t.Fatalf("event %+v after %v, answered %+v", e, last, m)
		}
		last = id
	}
}

func TestRooms(t *testing.T) {
	s := caddytest.Serve(t, "")
	both := s.Stream(t, "/subscribe?room=b&room="+url.QueryEscape("대화방")+"&room=b")
	lobby := s.Stream(t, "/subscribe")
	inB := s.Post(t, "/update?room=b", "in b")
	inKorean := s.Post(t, "/update?room="+url.QueryEscape("대화방"), "in 대화방")
	inLobby := s.Post(t, "/update?room=lobby", "in the lobby")
	if inB.Room != "b" || inKorean.Room != "대화방" || inLobby.Room != "" {
		t.Errorf("the rooms are %q, %q, %q", inB.Room, inKorean.Room, inLobby.Room)
	}
	if got := []chattest.Message{both.Next(t).Message(t), both.Next(t).Message(t)}; !slices.Equal(got, []chattest.Message{inB, inKorean}) {
		t.Errorf("a stream of two rooms got %+v", got)
	}
	if got := lobby.Next(t).Message(t); got != inLobby {
		t.Errorf("the lobby got %+v, want %+v", got, inLobby)
	}
	// one id resumes them all
	again := s.Stream(t, "/subscribe?room=lobby&room=b&room="+url.QueryEscape("대화방"), "Last-Event-ID: "+inB.ID)
	if got := []chattest.Message{again.Next(t).Message(t), again.Next(t).Message(t)}; !slices.Equal(got, []chattest.Message{inKorean, inLobby}) {
		t.Errorf("resumed in three rooms it got %+v", got)
	}
}

func TestSubscribeRefusesWhatIsWrong(t *testing.T) {
	s := caddytest.Serve(t, "")
	many := "/subscribe?"
	for i := range 101 {
		many += fmt.Sprintf("room=r%d&", i)
	}
	for _, test := range []struct{ path, want string }{
		{"/subscribe?room=", "a room needs a name"},
		{"/subscribe?room=a%20b", `only letters, marks and digits`},
		{"/subscribe?room=a/b", `only letters, marks and digits`},
		{"/subscribe?room=%F0%9F%98%80", `only letters, marks and digits`},
		{"/subscribe?room=a%0A", `only letters, marks and digits`},
		{"/subscribe?room=%ff", "not UTF-8"},
		{"/subscribe?room=" + url.QueryEscape("e\u0301"), "normalization form C"},
		{"/subscribe?room=" + strings.Repeat("a", 65), "longer than 64"},
		{"/subscribe?room=%zz", "invalid URL escape"},
		{"/subscribe?room=a;b", "invalid semicolon"},
		{many, "at most 100 rooms"},
		{"/subscribe?last=x", `"x" is not a number`},
		{"/subscribe?last=-1", `"-1" is not a number`},
		{"/subscribe?last=", `"" is not a number`},
		{"/subscribe?events=2", `"2" is neither 0 nor 1`},
		{"/subscribe?name=" + strings.Repeat("a", 65), "longer than 64 bytes"},
		{"/subscribe?name=a%0Ab", "not printable"},
		{"/subscribe?name=%E2%80%AEx", "not printable"},
		{"/subscribe?name=%E2%80%8B", "not printable"},
		{"/subscribe?name=%20", "no visible character"},
		{"/subscribe?author=", `"" is not an author's tag`},
		{"/subscribe?author=0123456789", `"0123456789" is not an author's tag: 11 of`},
		{"/subscribe?author=0123456789ab", "is not an author's tag"},
		{"/subscribe?author=0123456789%3D", "is not an author's tag"},
		{"/subscribe?author=0123456789a%0A", "is not an author's tag"},
	} {
		a := s.Do(t, http.MethodGet, test.path, "")
		if a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "{\"error\":\"") || !strings.Contains(strings.ReplaceAll(a.Body, `\"`, `"`), test.want) {
			t.Errorf("GET %.80s: %d %q, want 400 with %q", test.path, a.Status, a.Body, test.want)
		}
		if got := a.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("GET %.80s: Content-Type %q", test.path, got)
		}
	}
	if a := s.Do(t, http.MethodGet, "/subscribe", "body"); a.Status != http.StatusBadRequest {
		t.Errorf("a stream with a body: %d %s", a.Status, a.Body)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FOO"} {
		if a := s.Do(t, method, "/subscribe", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
		}
	}
}

func TestSubscribeTakesWhatIsUnusual(t *testing.T) {
	s := caddytest.Serve(t, "")
	room := strings.Repeat("가", 64)
	m := s.Post(t, "/update?room="+url.QueryEscape(room), "x")
	hundred := strings.Repeat("room=twice&", 50)
	for i := range 98 {
		hundred += fmt.Sprintf("room=r%d&", i)
	}
	for _, path := range []string{
		"last=99999999999999999999",
		"last=01&last=0&events=0&last_event_id=",
		"last=1&" + hundred,
		"last=1&name=" + url.QueryEscape("👩\u200d💻 김·지은"),
		"last=1&unknown=1&name=" + strings.Repeat("a", 64),
	} {
		c := s.Stream(t, "/subscribe?room="+url.QueryEscape(room)+"&"+path)
		if got := c.Next(t).Message(t); got != m {
			t.Errorf("%s: got %+v, want %+v", path, got, m)
		}
	}
	for _, room := range []string{".", "..", "-", "_", "١٢٣", "नमस्ते", "รายการ", "中文.1"} {
		s.Post(t, "/update?room="+url.QueryEscape(room), "x")
	}
}

func TestResumeByHeaderAndQuery(t *testing.T) {
	s := caddytest.Serve(t, "")
	for i, test := range []struct {
		name   string
		query  string   // with 1, 2 and 3 for the ids
		header []string // likewise
		want   string   // the texts of what is replayed
	}{
		{"neither", "", nil, ""},
		{"header", "", []string{"Last-Event-ID: 1"}, "23"},
		{"query", "&last_event_id=2", nil, "3"},
		{"query of a polyfill", "&lastEventId=2", nil, "3"},
		{"header and query of a polyfill", "&lastEventId=1", []string{"Last-Event-ID: 2"}, "3"},
		{"both", "&last_event_id=1", []string{"Last-Event-ID: 2"}, "3"},
		{"both empty", "&last_event_id=", []string{"Last-Event-ID: "}, ""},
		{"last", "&last=two", nil, "23"},
		{"last more than there are", "&last=ten", nil, "123"},
		{"last none", "&last=none", nil, ""},
		{"an id and last", "&last=ten", []string{"Last-Event-ID: 2"}, "3"},
		{"an id and last that is wrong", "&last=x", []string{"Last-Event-ID: 2"}, "3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			room := fmt.Sprint("room=r", i)
			ids := []string{"two", "2", "ten", "10", "none", "0"}
			for _, text := range []string{"1", "2", "3"} {
				ids = append(ids, text, s.Post(t, "/update?"+room, text).ID)
			}
			fill := strings.NewReplacer(ids...)
			for i := range test.header {
				test.header[i] = fill.Replace(test.header[i])
			}
			query := strings.NewReplacer(ids[:6]...).Replace(test.query)
			if strings.Contains(strings.ToLower(query), "event") {
				query = fill.Replace(query)
			}
			c := s.Stream(t, "/subscribe?"+room+query, test.header...)
			live := s.Post(t, "/update?"+room, "live")
			got := ""
			for {
				m := c.Next(t).Message(t)
				if m == live {
					break
				}
				got += m.Text
			}
			if got != test.want {
				t.Errorf("replayed %q, want %q", got, test.want)
			}
		})
	}
}

// onlyRetry is the end of a stream that was told nothing more but heartbeats.
var onlyRetry = regexp.MustCompile(`^(:\n)*retry: \d+\n$`)

func TestGapEvent(t *testing.T) {
	s := caddytest.Serve(t, "retain 2")
	old := s.Post(t, "/update", "1")
	s.Post(t, "/update", "2")
	third, fourth := s.Post(t, "/update", "3"), s.Post(t, "/update", "4")
	for id, reason := range map[string]string{
		old.ID: "expired", "12": "unknown", "99999999999999": "unknown", "e7k2-00001042": "unknown",
		"1-": "unknown", "-1": "unknown", "01": "unknown", "0": "unknown", "%20" + fourth.ID: "unknown", fourth.ID + "%0A": "unknown",
		fourth.ID + "-18446744073709551616": "unknown", "9223372036854775808": "unknown", "0" + old.ID: "expired",
		"%00": "unknown", strings.Repeat("9", 3000): "unknown",
	} {
		c := s.Stream(t, "/subscribe?last_event_id="+id)
		if got, want := c.Next(t), (chattest.Event{Name: "gap", Data: fmt.Sprintf(`{"reason":%q,"oldest":%q}`, reason, third.ID)}); got != want {
			t.Errorf("after %.20s: %+v, want %+v", id, got, want)
		}
		if got := []chattest.Message{c.Next(t).Message(t), c.Next(t).Message(t)}; !slices.Equal(got, []chattest.Message{third, fourth}) {
			t.Errorf("after %.20s and the gap: %+v", id, got)
		}
		caddytest.API().EndStreams(t, "default", "all")
		if rest, err := c.Rest(t); !onlyRetry.MatchString(rest) || err != io.EOF {
			t.Errorf("after %.20s and all messages: %q, %v", id, rest, err)
		}
	}
}

func TestHeartbeatOverTheWire(t *testing.T) {
	s := caddytest.Serve(t, "heartbeat 300ms")
	c := s.Stream(t, "/subscribe")
	c.Until(t, "retry: 10000\n")
	c.Until(t, ":\n:\n")
	named := s.Stream(t, "/subscribe?events=1")
	for {
		if e := named.Next(t); e.Name == "ping" {
			break
		}
	}
}

func TestAFullHubTellsToComeBackLater(t *testing.T) {
	s := caddytest.Serve(t, "max_subscribers 2 1")
	first := s.Stream(t, "/subscribe")
	first.Until(t, ":ok\n")
	for path, form := range map[string]string{
		"/subscribe":          `^retry: (\d+)\n$`,
		"/subscribe?events=1": `^retry: (\d+)\nevent: bye\ndata: {"reason":"full","retry_ms":\d+}\n\n$`,
	} {
		a := s.Do(t, http.MethodGet, path, "")
		match := regexp.MustCompile(form).FindStringSubmatch(a.Body)
		if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" || match == nil {
			t.Fatalf("GET %s: %d %q, want %s", path, a.Status, a.Body, form)
		}
		if ms, _ := strconv.Atoi(match[1]); ms < 15000 || ms > 45000 {
			t.Errorf("GET %s: %q, want 15 to 45 s", path, a.Body)
		}
	}
	first.Until(t, "retry: 10000\n")
	if m := s.Post(t, "/update", "x"); first.Next(t).Message(t) != m {
		t.Error("the first stream is closed for a new one")
	}
	first.Close()
	chattest.Eventually(t, "a place becomes free", func() bool {
		c := s.Stream(t, "/subscribe")
		defer c.Close()
		return strings.HasPrefix(c.Until(t, "retry: "), ":ok")
	})
}

func TestMaxAgeEndsAStreamCleanly(t *testing.T) {
	s := caddytest.Serve(t, "max_age 1s\nheartbeat 200ms")
	start := time.Now()
	plain, named := s.Stream(t, "/subscribe"), s.Stream(t, "/subscribe?events=1")
	rest, err := plain.Rest(t)
	if age := time.Since(start); err != io.EOF || age < 900*time.Millisecond || age > 10*time.Second {
		t.Errorf("ended after %s with %v", age, err)
	}
	if !regexp.MustCompile(`:\nretry: \d+\n$`).MatchString(rest) {
		t.Errorf("the last line of %q is not a retry", rest)
	}
	rest, _ = named.Rest(t)
	if !regexp.MustCompile(`retry: (\d+)\nevent: bye\ndata: {"reason":"max_age","retry_ms":\d+}\n\n$`).MatchString(rest) {
		t.Errorf("%q does not end with bye", rest)
	}
}

// A server that would tear streams off after a time has them end before.
func TestTimeoutsOfTheServer(t *testing.T) {
	for _, timeout := range []string{"write", "read_body"} {
		t.Run(timeout, func(t *testing.T) {
			s := chattest.At("http://"+chattest.FreeAddr(t), new(http.Client))
			config := fmt.Sprintf("{%s\nservers {\ntimeouts {\n%s 2s\n}\n}\n}\nhttp://%s {\nsse_chat\n}\n", caddytest.GlobalOptions(), timeout, s.Addr)
			if err := caddytest.LoadCaddyfile(t, config); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = caddy.Stop() })
			rest, err := s.Stream(t, "/subscribe").Rest(t)
			if !regexp.MustCompile(`retry: \d+\n$`).MatchString(rest) || err != io.EOF {
				t.Errorf("the stream ends with %q, %v", rest, err)
			}
		})
	}
}

func TestOtherPathsGoToTheNextHandler(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, path := range []string{"/", "/subscribe/", "/subscribex", "/Subscribe", "/update/x", "/index.html"} {
		if a := s.Do(t, http.MethodGet, path, ""); a.Status != http.StatusTeapot || a.Body != "next" {
			t.Errorf("GET %s: %d %q", path, a.Status, a.Body)
		}
	}
	s = caddytest.Serve(t, "subscribe /s\nupdate /채팅/u\nhistory off")
	c := s.Stream(t, "/s")
	m := s.Post(t, "/"+url.PathEscape("채팅")+"/u", "x")
	if got := c.Next(t).Message(t); got != m {
		t.Errorf("got %+v, want %+v", got, m)
	}
	for _, path := range []string{"/subscribe", "/update", "/history"} {
		if a := s.Do(t, http.MethodGet, path, ""); a.Status != http.StatusTeapot {
			t.Errorf("GET %s: %d", path, a.Status)
		}
	}
}

func TestAStreamThatGoesAwayIsForgotten(t *testing.T) {
	s := caddytest.Serve(t, "")
	var clients []*chattest.Stream
	for range 20 {
		clients = append(clients, s.Stream(t, "/subscribe"))
	}
	if n := caddytest.Hub(t, "default").Subscribers; n != 20 {
		t.Fatalf("%d subscribers, want 20", n)
	}
	for _, c := range clients {
		c.Close()
	}
	chattest.Eventually(t, "all are forgotten", func() bool { return caddytest.Hub(t, "default").Subscribers == 0 })
}

// A page has to know what its reader is called, so that it asks for no name and
// knows what the reader has written elsewhere.
func TestHelloTellsTheNameThatTheConfigurationGives(t *testing.T) {
	for _, test := range []struct{ options, path, want string }{
		{"name {http.request.header.X-User}", "/subscribe?events=1&name=boss", `{"name":"kim"}`},
		{"name {http.request.header.X-Nobody}", "/subscribe?events=1", ""},
		{"", "/subscribe?events=1&name=kim", ""},
	} {
		c := caddytest.Serve(t, test.options).Stream(t, test.path, "X-User: kim")
		var hello struct{ You json.RawMessage }
		c.Next(t).Decode(t, &hello)
		if got := string(hello.You); got != test.want {
			t.Errorf("%q: hello tells %q of the reader, want %q", test.options, got, test.want)
		}
	}
}
