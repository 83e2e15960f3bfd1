package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// streamLine is what a line of a stream may be. Whatever anybody sends, there
// are no others.
var streamLine = regexp.MustCompile(`^(:|:ok|retry: [0-9]+|id: [0-9]+(-[0-9]+)?|data: \{.*\}|event: (gap|hello|live|ping|presence|delete|bye)|)$`)

// What would be an event of its own if a field let it through.
var forgeries = []string{
	"x\n\nid: 1\ndata: forged\n\n", "x\r\n\r\ndata: forged\r\n\r\n", "x\r\rdata: forged\r\r", "\ndata: forged",
	"x\u2028data: forged\u2029", "x\u0085data: forged", "x\x00\ndata: forged", "x\v\fdata: forged", `x\n\ndata: forged`,
	"\ufeffdata: forged", "x\nretry: 1\n", "x\nevent: bye\n\n", "}\n\ndata: {\"text\":\"forged\"}\n\n", ":\n\n", "\r", "\n",
}

// No field forges an event, a line or a header field: whatever is taken comes
// as one event that holds it, live, replayed and in the history.
func TestNothingForgesAnEvent(t *testing.T) {
	s := caddytest.Serve(t, "")
	live := s.Stream(t, "/subscribe?events=1")
	var want []chattest.Message
	for _, forgery := range forgeries {
		for _, field := range []string{"text", "name", "nonce"} {
			draft := map[string]string{"text": "x", field: forgery}
			body, err := json.Marshal(draft)
			if err != nil {
				t.Fatal(err)
			}
			a := s.Do(t, http.MethodPost, "/update", string(body))
			if a.Status != http.StatusOK && a.Status != http.StatusBadRequest {
				t.Errorf("%s %q: %d %s", field, forgery, a.Status, a.Body)
			}
			if a.Status != http.StatusOK {
				continue
			}
			m := chattest.Message{Text: "x"}
			if err := json.Unmarshal([]byte(a.Body), &m); err != nil || m.Text != draft["text"] || m.Name != draft["name"] || m.Nonce != draft["nonce"] {
				t.Errorf("%s %q is stored as %s", field, forgery, a.Body)
			}
			want = append(want, m)
		}
		escaped := url.QueryEscape(forgery)
		for _, path := range []string{"/update?room=" + escaped, "/update?room=x&name=" + escaped} {
			if a := s.Do(t, http.MethodPost, path, `{"text":""}`); a.Status != http.StatusBadRequest {
				t.Errorf("POST %s: %d %s", path, a.Status, a.Body)
			}
		}
		for _, path := range []string{"/subscribe?room=", "/history?room=", "/history?before=", "/history?limit="} {
			if a := s.Do(t, http.MethodGet, path+escaped, ""); a.Status != http.StatusBadRequest {
				t.Errorf("GET %s%q: %d", path, forgery, a.Status)
			}
		}
		// an id that says nothing is no error, and comes back nowhere
		c := s.Stream(t, "/subscribe?events=1&last_event_id="+escaped)
		for e := (chattest.Event{}); e.Name != "live"; e = c.Next(t) {
			if strings.Contains(e.Data, "forged") && e.Name == "gap" {
				t.Errorf("the gap after %q is %+v", forgery, e)
			}
		}
		c.Close()
		checkLines(t, c)
		for name, values := range c.Response.Header {
			if strings.ContainsAny(strings.Join(values, ""), "\r\n") || strings.Contains(strings.Join(values, ""), "forged") {
				t.Errorf("after %q the header has %s: %q", forgery, name, values)
			}
		}
	}
	if len(want) == 0 {
		t.Fatal("nothing was taken")
	}
	replayed := s.Stream(t, fmt.Sprint("/subscribe?last=", len(want)))
	for _, c := range []*chattest.Stream{live, replayed} {
		for _, m := range want {
			e := c.Next(t)
			for e.Name != "" {
				e = c.Next(t)
			}
			if got := e.Message(t); got != m {
				t.Errorf("got %+v, want %+v", got, m)
			}
		}
		c.Close()
		checkLines(t, c)
	}
	var page struct{ Messages []chattest.Message }
	if err := json.Unmarshal([]byte(s.Do(t, http.MethodGet, "/history?limit=200", "").Body), &page); err != nil || len(page.Messages) != len(want) {
		t.Errorf("the history has %d messages, %v, want %d", len(page.Messages), err, len(want))
	}
}

// checkLines fails if there is any line in what a stream sent that is none of
// this server's.
func checkLines(t *testing.T, c *chattest.Stream) {
	t.Helper()
	for line := range strings.SplitSeq(c.All(), "\n") {
		if !streamLine.MatchString(line) || strings.ContainsAny(line, "\r\x00") {
			t.Errorf("a line is %q", line)
		}
	}
}

// Ids and rooms cannot carry a header field, over a raw connection either.
func TestNothingSmugglesAHeader(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, request := range []string{
		"GET /subscribe?last_event_id=1%0d%0aX-Evil:%201%0d%0a%0d%0a<script> HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /subscribe HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 1\rX-Evil: 1\r\n\r\n",
		"GET /subscribe HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 1\x00X-Evil: 1\r\n\r\n",
		"GET /subscribe?room=a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /history?before=1%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /history?room=%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"\x01\"\r\n\r\n",
		"POST /update HTTP/1.1\r\nHost: h\r\nIdempotency-Key: a\rX-Evil: 1\r\nContent-Length: 12\r\n\r\n{\"text\":\"x\"}",
		// two requests for one, whose lengths differ
		"POST /update HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /subscribe HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
	} {
		conn := s.Dial(t)
		if _, err := io.WriteString(conn, strings.Replace(request, "Host: h", "Host: "+s.Addr, 1)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(chattest.Patience))
		var got bytes.Buffer
		for buf := make([]byte, 4<<10); !bytes.Contains(got.Bytes(), []byte("\r\n\r\n")); {
			n, err := conn.Read(buf)
			if got.Write(buf[:n]); err != nil {
				break
			}
		}
		// whatever would go on ends with its client
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = got.ReadFrom(conn)
		conn.Close()
		header, _, _ := strings.Cut(got.String(), "\r\n\r\n")
		if !strings.HasPrefix(header, "HTTP/1.1 ") || regexp.MustCompile(`(?i)\nx-evil`).MatchString(header) {
			t.Errorf("%q is answered %q", request, got.String())
		}
		if n := bytes.Count(got.Bytes(), []byte("HTTP/1.1 200")); n > 1 {
			t.Errorf("%q is answered %d times: %q", request, n, got.String())
		}
	}
}

// An attacker's name that resolves to this server makes a page of that name
// same-origin with it. A site that has a name of its own is not reached so.
func TestDNSRebinding(t *testing.T) {
	s := caddytest.Serve(t, "") // at 127.0.0.1, for that host alone
	evil := []string{"Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: same-origin"}
	for method, path := range map[string]string{http.MethodPost: "/update", http.MethodGet: "/subscribe"} {
		body := ""
		if method == http.MethodPost {
			body = `{"text":"forged"}`
		}
		if a := s.Do(t, method, path, body, evil...); strings.Contains(a.Body, "forged") || strings.Contains(a.Body, ":ok") || a.Body != "" {
			t.Errorf("%s %s: %d %q", method, path, a.Status, a.Body)
		}
	}
	if n := len(s.History(t, "lobby")); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	// and where any name is answered, one page still cannot post to another
	anywhere := chattest.At("http://"+chattest.FreeAddr(t), s.Client)
	_, port, _ := net.SplitHostPort(anywhere.Addr)
	if err := caddytest.LoadCaddyfile(t, fmt.Sprintf("{%s}\n:%s {\nsse_chat\n}\n", caddytest.GlobalOptions(), port)); err != nil {
		t.Fatal(err)
	}
	for _, header := range [][]string{
		{"Host: evil.example", "Origin: http://other.example"},
		{"Host: evil.example", "Origin: null"},
		{"Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"},
		{"Host: evil.example", "Origin: http://evil.example:81"},
		{"Host: evil.example", "Origin: http://evil.example.", "Content-Type: text/plain"},
		{"Origin: " + anywhere.URL, "Host: evil.example", "Content-Type: application/x-www-form-urlencoded"},
		{"Origin: file://"},
		{"Origin: " + anywhere.URL + ", https://evil.example"},
		{"Origin: chrome-extension://x"},
		{"Origin: %00"},
	} {
		if a := anywhere.Do(t, http.MethodPost, "/update", `{"text":"forged"}`, header...); a.Status != http.StatusForbidden {
			t.Errorf("%v: %d %s", header, a.Status, a.Body)
		}
	}
}

// A page cannot post by what needs no script: a form, an image, a link.
func TestAFormOfAnotherPage(t *testing.T) {
	s := caddytest.Serve(t, "")
	evil := "Origin: https://evil.example"
	for _, form := range [][2]string{
		{"text/plain", `{"text":"forged","x":"=` + "\r\n" + `"}`},
		{"text/plain", `{"text":"forged"}`},
		{"application/x-www-form-urlencoded", "text=forged"},
		{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nforged\r\n--b--\r\n"},
		{"application/x-ndjson", `{"text":"forged"}`},
	} {
		if a := s.Do(t, http.MethodPost, "/update", form[1], evil, "Content-Type: "+form[0]); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s", form[0], a.Status, a.Body)
		}
	}
	for _, header := range [][]string{
		{evil, "X-HTTP-Method-Override: POST"}, {evil, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"},
	} {
		if a := s.Do(t, http.MethodGet, "/update?text=forged", "", header...); a.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET with %v: %d %s", header, a.Status, a.Body)
		}
	}
	if n := len(s.History(t, "lobby")); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

// Names that look like another's, or like nothing, are refused where they
// come from a client.
func TestNamesThatDeceive(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, name := range []string{
		"\u202eadmin", "ad\u200bmin", "admin\u2066", "\ufeffadmin", "ad\u00admin", "\u2060", "\u200d", "\u200c\u200d", " ", "\u3000",
		"\u061cadmin", "\U000e0001admin", "admin\u2028", "\u0301", "admin\x7f", "\ufffd",
		"admin ", "ad\u200dmin", "ad\u200cmin", "admin\ufe0f", "admin\u3164", "admin\u2800", "admin\u034f", "admin\U000e0100", "admin\U000e0fff",
		"admin\U000e0067\U000e0062\U000e007f",
	} {
		body, _ := json.Marshal(map[string]string{"text": "x", "name": name})
		if a := s.Do(t, http.MethodPost, "/update", string(body)); a.Status != http.StatusBadRequest {
			t.Errorf("name %q: %d %s", name, a.Status, a.Body)
		}
		if a := s.Do(t, http.MethodGet, "/subscribe?name="+url.QueryEscape(name), ""); a.Status != http.StatusBadRequest {
			t.Errorf("reader %q: %d", name, a.Status)
		}
		if a := s.Do(t, http.MethodGet, "/history?room="+url.QueryEscape("r"+name), ""); a.Status != http.StatusBadRequest && name != "\u0301" {
			t.Errorf("room %q: %d", "r"+name, a.Status)
		}
	}
}

// 2,000 requests of random bytes, and 2,000 that nearly make sense: none is a
// fault of the server, none stays, and the chat goes on.
func TestGarbage(t *testing.T) {
	s := caddytest.Serve(t, "")
	reader := s.Stream(t, "/subscribe")
	s.Post(t, "/update", "before")
	s.Client.CloseIdleConnections()
	goroutines, files := runtime.NumGoroutine(), chattest.OpenFiles(t)
	faulty := regexp.MustCompile(`^HTTP/1\.1 50[023]`)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 4000 {
		request := nearly(random, s.Addr)
		if i%2 == 0 {
			request = make([]byte, 1+random.IntN(300))
			for j := range request {
				request[j] = byte(random.Uint32())
			}
		}
		conn := s.Dial(t)
		_, _ = conn.Write(request)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(chattest.Patience))
		head := make([]byte, 64)
		n, err := io.ReadAtLeast(conn, head, 12)
		conn.Close()
		if err == nil && faulty.Match(head) {
			t.Fatalf("%q is answered %q", request[:min(len(request), 300)], head[:n])
		}
	}
	s.Post(t, "/update", "after")
	for e := reader.Next(t); e.Message(t).Text != "after"; {
		e = reader.Next(t)
	}
	s.Client.CloseIdleConnections()
	chattest.Eventually(t, "all is as before", func() bool {
		return caddytest.Hub(t, "default").Subscribers == 1 && runtime.NumGoroutine() <= goroutines+10 && chattest.OpenFiles(t) <= files+5
	})
	reader.Close()
	checkLines(t, reader)
}

// nearly makes a request of pieces that this server knows.
func nearly(random *rand.Rand, host string) []byte {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	noise := func() string {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return pick(string(b), url.QueryEscape(string(b)), "%", "lobby", "1795353900585-1", strings.Repeat("9", 400))
	}
	body := pick(noise(), `{"text":"`+noise()+`"}`, `{"text":`, strings.Repeat("[", 5000), `{"text":"x","name":"`+noise()+`"}`, "")
	return fmt.Appendf(nil, "%s %s?%s=%s&%s=%s HTTP/1.%s\r\nHost: %s\r\n%s: %s\r\nContent-Length: %s\r\n\r\n%s",
		pick("GET", "POST", "HEAD", "OPTIONS", "PUT", "get"), pick("/subscribe", "/update", "/history", "//update", "/", "*"),
		pick("room", "last", "last_event_id", "limit", "before", "events", "name"), noise(),
		pick("room", "after", "x"), noise(), pick("1", "0", "2"), pick(host, "x", noise()),
		pick("Last-Event-ID", "Origin", "Content-Type", "Idempotency-Key", "Sec-Fetch-Site", "If-None-Match", "Transfer-Encoding", "Expect", "Range"), noise(),
		pick(fmt.Sprint(len(body)), "-1", "99999999999999999999", fmt.Sprint(len(body)+10), "x"), body)
}
