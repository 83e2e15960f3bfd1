package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/fragile"
)

const noText = "text 필드를 채워주세요"

// The answers of POST /update to one body each.
func TestUpdateAnswers(t *testing.T) {
	s := caddytest.Serve(t, "max_text 1KiB")
	for _, test := range []struct {
		name, body string
		status     int
		want       string // the text that is stored, or a part of the error
	}{
		{"a text", `{"text":"hi"}`, 200, "hi"},
		{"with spaces around", " {\"text\": \" hi \"}\r\n", 200, " hi "},
		{"markup", `{"text":"<b>&amp;</b>"}`, 200, "<b>&amp;</b>"},
		{"line ends and tabs", `{"text":"a\r\n\tb"}`, 200, "a\r\n\tb"},
		{"escapes", `{"text":"\u00e9\ud83d\ude00\/\\\"\u2028"}`, 200, "é😀/\\\"\u2028"},
		{"an event in the text", `{"text":"a\n\ndata: x\nid: 1"}`, 200, "a\n\ndata: x\nid: 1"},
		{"unknown keys", `{"text":"hi","x":{"text":1},"rooms":"elsewhere"}`, 200, "hi"},
		{"the URL's room", `{"text":"hi","room":"lobby"}`, 200, "hi"},
		{"a byte order mark", "\ufeff" + `{"text":"hi"}`, 200, "hi"},
		{"null for what is optional", `{"text":"hi","name":null,"nonce":null,"room":null}`, 200, "hi"},
		{"a name", `{"text":"hi","name":"김지은 👩‍💻"}`, 200, "hi"},
		{"an empty name", `{"text":"hi","name":""}`, 200, "hi"},
		{"the longest text", fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", 1024)), 200, strings.Repeat("x", 1024)},
		{"the longest nonce", fmt.Sprintf(`{"text":"hi","nonce":%q}`, strings.Repeat("n", 64)), 200, "hi"},
		{"the longest name", fmt.Sprintf(`{"text":"hi","name":%q}`, strings.Repeat("n", 64)), 200, "hi"},
		{"the longest body", fmt.Sprintf(`{"text":"hi","x":%q}`, strings.Repeat("x", 6*1024+4096-20)), 200, "hi"},
		{"a key twice", `{"text":"hi","text":"ho"}`, 200, "ho"},
		{"deep JSON", `{"text":"hi","x":` + strings.Repeat("[", 4000) + strings.Repeat("]", 4000) + `}`, 200, "hi"},
		{"an escaped key", `{"te\u0078t":"hi"}`, 200, "hi"},
		{"U+FFFD itself", `{"text":"\ufffd�"}`, 200, "��"},

		{"no text", `{}`, 400, noText},
		{"an empty text", `{"text":""}`, 400, noText},
		{"white space", `{"text":" \n\t\u3000\ufeff"}`, 400, noText},
		{"a number", `{"text":1}`, 400, noText},
		{"line separators", `{"text":"\u2028\u2029\u00a0"}`, 400, noText},
		{"a key twice, once null", `{"text":"hi","text":null}`, 400, noText},
		{"null", `{"text":null}`, 400, noText},
		{"an object", `{"text":{}}`, 400, noText},
		{"another case", `{"Text":"hi"}`, 400, noText},
		{"an empty text with a wrong name", `{"text":"","name":1}`, 400, noText},
		{"nothing", ``, 400, `the body is empty, expected an object like {"text":"…"}`},
		{"white space alone", " \r\n", 400, "the body is empty"},
		{"no JSON", `text=hi`, 400, `the message is not JSON: byte 1: found t (U+0074), expected an object like {"text":"…"}`},
		{"half of it", `{"text":"hi"`, 400, "the message is not JSON: it ends too early, expected a comma or }"},
		{"two of it", `{"text":"hi"}{"text":"ho"}`, 400, "not JSON: byte 14: found { (U+007B), expected nothing more"},
		{"trailing bytes", `{"text":"hi"} x`, 400, "not JSON: byte 15: found x (U+0078), expected nothing more"},
		{"single quotes", `{'text':'hi'}`, 400, "not JSON: byte 2: found ' (U+0027), expected a key in double quotes"},
		{"two byte order marks", "\ufeff\ufeff" + `{"text":"hi"}`, 400, "not JSON: byte 1: found U+FEFF"},
		{"UTF-16", "\xff\xfe{\x00}\x00", 400, "the body is UTF-16"},
		{"UTF-16, high bytes first", "\xfe\xff\x00{\x00}", 400, "the body is UTF-16"},
		{"UTF-16 without a mark", "{\x00\"\x00", 400, "the body is UTF-16"},
		{"gzip that is not said to be", "\x1f\x8b\x08\x00\x00", 400, "the body is compressed with gzip"},
		{"another room", `{"text":"hi","room":"tea"}`, 400, `room: the message says "tea", but the URL names "lobby"`},
		{"an empty room", `{"text":"hi","room":""}`, 400, "room: the message says"},
		{"a number for a room", `{"text":"hi","room":1}`, 400, "room: must be a string"},
		{"an array", `[{"text":"hi"}]`, 400, "JSON object"},
		{"a string", `"hi"`, 400, "JSON object"},
		{"just null", `null`, 400, "JSON object"},
		{"bad UTF-8", "{\"text\":\"\xff\"}", 400, "not UTF-8: byte 10 is 0xFF"},
		{"a surrogate in UTF-8", "{\"text\":\"\xed\xa0\x80\"}", 400, "not UTF-8"},
		{"a raw line break in a string", "{\"text\":\"a\nb\"}", 400, "not JSON"},
		{"NUL", `{"text":"a\u0000b"}`, 400, "control character U+0000"},
		{"an escape character", `{"text":"a\u001b[0m"}`, 400, "control character U+001B"},
		{"DEL", `{"text":"a\u007f"}`, 400, "control character U+007F"},
		{"NEL", `{"text":"a\u0085b"}`, 400, "control character U+0085"},
		{"the first C1", `{"text":"a\u0080"}`, 400, "control character U+0080"},
		{"the last C1", `{"text":"a\u009f"}`, 400, "control character U+009F"},
		{"a lone high surrogate", `{"text":"a\ud83d"}`, 400, "surrogate"},
		{"a lone low surrogate", `{"text":"\ude00a"}`, 400, "surrogate"},
		{"surrogates the wrong way round", `{"text":"\ude00\ud83d"}`, 400, "surrogate"},
		{"a surrogate before another escape", `{"text":"\ud83d\n"}`, 400, "surrogate"},
		{"a lone surrogate in a name", `{"text":"hi","name":"\ud83d"}`, 400, "surrogate"},
		{"a line break in a name", `{"text":"hi","name":"a\nb"}`, 400, "not printable"},
		{"a name that is too long", fmt.Sprintf(`{"text":"hi","name":%q}`, strings.Repeat("가", 22)), 400, "longer than 64 bytes"},
		{"a number for a name", `{"text":"hi","name":1}`, 400, "must be a string"},
		{"a nonce with a space", `{"text":"hi","nonce":"a b"}`, 400, "nonce"},
		{"an empty nonce", `{"text":"hi","nonce":""}`, 400, "nonce"},
		{"a nonce that is too long", fmt.Sprintf(`{"text":"hi","nonce":%q}`, strings.Repeat("a", 65)), 400, "nonce"},
		{"a number for a nonce", `{"text":"hi","nonce":1}`, 400, "must be a string"},
		{"a text that is too long", fmt.Sprintf(`{"text":%q}`, strings.Repeat("가", 342)), 413, "1026 bytes are more than 1024"},
		{"a body that is too long", fmt.Sprintf(`{"text":"hi","x":%q}`, strings.Repeat("x", 6*1024+4096-19)), 413, "larger than 10240 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := time.Now().UnixMilli()
			a := s.Do(t, http.MethodPost, "/update", test.body)
			if a.Status != test.status || a.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%d %s %s", a.Status, a.Header.Get("Content-Type"), a.Body)
			}
			if test.status != http.StatusOK {
				var e struct{ Error string }
				if err := json.Unmarshal([]byte(a.Body), &e); err != nil || !strings.Contains(e.Error, test.want) {
					t.Errorf("error %s, want %q", a.Body, test.want)
				}
				if test.want == noText && a.Body != `{"error":"`+noText+`"}` {
					t.Errorf("error %s, want the words of the first server", a.Body)
				}
				return
			}
			var m chattest.Message
			if err := json.Unmarshal([]byte(a.Body), &m); err != nil || m.Text != test.want {
				t.Errorf("stored %s, %v, want %q", a.Body, err, test.want)
			}
			if now := time.Now().UnixMilli(); m.Timestamp < before || m.Timestamp > now+1 {
				t.Errorf("timestamp %d, want from %d to %d", m.Timestamp, before, now)
			}
		})
	}
	// nothing that was refused is stored
	a := s.Do(t, http.MethodGet, "/history?limit=200", "")
	if strings.Count(a.Body, `"timestamp"`) != 20 {
		t.Errorf("stored is %s, want 20 messages", a.Body)
	}
}

// Two known clients take no event of more than 64 KiB.
func TestTheLargestEvent(t *testing.T) {
	s := caddytest.Serve(t, "max_text 30KiB")
	room := "?room=" + url.QueryEscape(strings.Repeat("\U00020000", 64))
	c := s.Stream(t, "/subscribe"+room)
	c.Until(t, "retry: 10000\n")
	body, err := json.Marshal(map[string]string{
		"text": strings.Repeat(`"`, 30<<10), "name": strings.Repeat(`\`, 64), "nonce": strings.Repeat("n", 64),
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Do(t, http.MethodPost, "/update"+room, string(body)); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if n := len(c.Until(t, "\n\n")); n < 60<<10 || n >= 64<<10 {
		t.Errorf("the event has %d bytes", n)
	}
}

func TestUpdateTakesAnyContentType(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, contentType := range []string{"", "application/json", "text/plain", "application/json;charset", ";;;", "application/x-www-form-urlencoded"} {
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"hi"}`, "Content-Type: "+contentType); a.Status != http.StatusOK {
			t.Errorf("Content-Type %q: %d %s", contentType, a.Status, a.Body)
		}
	}
}

func TestUpdateMethodsAndRooms(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS"} {
		if a := s.Do(t, method, "/update", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST, PATCH, DELETE" {
			t.Errorf("%s: %d, Allow %q", method, a.Status, a.Header.Get("Allow"))
		}
	}
	for path, want := range map[string]string{
		"/update?room=a&room=b": "more than once",
		"/update?room=":         "needs a name",
		"/update?room=a/b":      "only letters",
		"/update?room=%zz":      "invalid URL escape",
	} {
		if a := s.Do(t, http.MethodPost, path, `{"text":"hi"}`); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, want) {
			t.Errorf("POST %s: %d %s, want 400 with %q", path, a.Status, a.Body, want)
		}
	}
}

func TestRepeatsOverTheWire(t *testing.T) {
	s := caddytest.Serve(t, "")
	c := s.Stream(t, "/subscribe")
	send := func(path, body string, header ...string) chattest.Answer {
		t.Helper()
		return s.Do(t, http.MethodPost, path, body, header...)
	}
	first := send("/update", `{"text":"one","nonce":"n-1_A"}`)
	for _, again := range []chattest.Answer{
		send("/update", `{"text":"one","nonce":"n-1_A"}`),
		send("/update", `{"text":"something else"}`, "Idempotency-Key: n-1_A"),
		send("/update?room=lobby", `{"text":"one","nonce":"n-1_A"}`, "Idempotency-Key: n-1_A"),
	} {
		if again.Status != http.StatusOK || again.Body != first.Body {
			t.Errorf("a repeat is answered %d %s, want %s", again.Status, again.Body, first.Body)
		}
	}
	if a := send("/update", `{"text":"one","nonce":"a"}`, "Idempotency-Key: b"); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "differ") {
		t.Errorf("two different nonces: %d %s", a.Status, a.Body)
	}
	if a := send("/update", `{"text":"one"}`, "Idempotency-Key: a b"); a.Status != http.StatusBadRequest {
		t.Errorf("a bad key: %d %s", a.Status, a.Body)
	}
	if a := send("/update?room=b", `{"text":"one","nonce":"n-1_A"}`); a.Body == first.Body {
		t.Error("the same nonce in another room is a repeat")
	}
	send("/update", `{"text":"end"}`)
	if m := c.Next(t).Message(t); m.Text != "one" || m.Nonce != "n-1_A" {
		t.Errorf("got %+v", m)
	}
	if m := c.Next(t).Message(t); m.Text != "end" {
		t.Errorf("a repeat was sent: %+v", m)
	}
}

func TestBatch(t *testing.T) {
	s := caddytest.Serve(t, "")
	c := s.Stream(t, "/subscribe?room=a")
	send := func(body string, header ...string) chattest.Answer {
		t.Helper()
		return s.Do(t, http.MethodPost, "/update?room=a", body, append(header, "Content-Type: application/x-ndjson; charset=utf-8")...)
	}
	a := send("{\"text\":\"1\"}\n\n{\"text\":\"2\",\"nonce\":\"n\"}\r\n{\"text\":\"3\",\"name\":\"kim\"}\n{\"text\":\"2 again\",\"nonce\":\"n\"}")
	lines := strings.Split(strings.TrimSuffix(a.Body, "\n"), "\n")
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/x-ndjson" || len(lines) != 4 || lines[1] != lines[3] {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for i := range 3 {
		if e := c.Next(t); e.Data != lines[i] {
			t.Errorf("event %d is %s, want %s", i, e.Data, lines[i])
		}
	}
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{"{\"text\":\"ok\"}\n{\"text\":\"\"}\nx", 400, "line 2: " + noText},
		{"{\"text\":\"ok\"}\n\nx\n", 400, "line 3: the message is not JSON"},
		{fmt.Sprintf("{\"text\":\"ok\"}\n{\"text\":%q}", strings.Repeat("x", 9000)), 400, "line 2: text: too long"},
		{"{\"text\":\"ok\"}\n\n{\"text\":\"ok\",\"name\":\"\\u0007\"}\nx", 400, "line 3: name"},
		{"{\"text\":\"ok\"}\n{\"text\":\"ok\",\"nonce\":\"a b\"}", 400, "line 2: nonce"},
		{strings.Repeat("{\"text\":\"x\"}\n", 999) + strings.Repeat(" ", 1000*(8192+512)), 413, "larger than 8704000 bytes"},
		{"\n\n", 400, "no message"},
		{strings.Repeat("{\"text\":\"x\"}\n", 1001), 400, "line 1001: a batch has at most 1000"},
	} {
		if a := send(test.body); a.Status != test.status || !strings.Contains(a.ErrorText(t), test.want) {
			t.Errorf("%.40q: %d %s, want %d with %q", test.body, a.Status, a.Body, test.status, test.want)
		}
	}
	if a := send(`{"text":"x"}`, "Idempotency-Key: k"); a.Status != http.StatusBadRequest {
		t.Errorf("a batch with one key: %d %s", a.Status, a.Body)
	}
	if a := send(strings.Repeat("{\"text\":\"x\"}\n", 1000)); a.Status != http.StatusOK || strings.Count(a.Body, "\n") != 1000 {
		t.Errorf("1,000 messages: %d, %d lines", a.Status, strings.Count(a.Body, "\n"))
	}
	if m := c.Next(t).Message(t); m.Text != "x" {
		t.Errorf("a part of a refused batch was sent: %+v", m)
	}
}

func TestRate(t *testing.T) {
	s := caddytest.Serve(t, "rate 3 1m")
	send := func(body string) chattest.Answer {
		t.Helper()
		return s.Do(t, http.MethodPost, "/update", body)
	}
	first := send(`{"text":"1","nonce":"n"}`)
	send(`{"text":"2"}`)
	for range 5 { // repeats do not count
		if a := send(`{"text":"1","nonce":"n"}`); a.Body != first.Body {
			t.Fatalf("a repeat: %d %s", a.Status, a.Body)
		}
	}
	if a := send(`{"text":""}`); a.Status != http.StatusBadRequest { // nor does what is refused
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := send(`{"text":"3"}`); a.Status != http.StatusOK {
		t.Errorf("the third message: %d %s", a.Status, a.Body)
	}
	a := send(`{"text":"4"}`)
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.Status != http.StatusTooManyRequests || err != nil || seconds < 1 || seconds > 20 || !strings.Contains(a.Body, "3 may be sent within 1m0s") {
		t.Errorf("the fourth: %d, Retry-After %q, %s", a.Status, a.Header.Get("Retry-After"), a.Body)
	}
	if a := send(`{"text":"1","nonce":"n"}`); a.Body != first.Body {
		t.Errorf("a repeat past the rate: %d %s", a.Status, a.Body)
	}
}

// A batch counts as many messages as it stores.
func TestRateOfABatch(t *testing.T) {
	s := caddytest.Serve(t, "rate 3 1h")
	send := func(nonces ...string) int {
		t.Helper()
		body := ""
		for _, nonce := range nonces {
			body += `{"text":"x","nonce":"` + nonce + "\"}\n"
		}
		return s.Do(t, http.MethodPost, "/update", body, "Content-Type: application/x-ndjson").Status
	}
	for i, test := range []struct {
		nonces []string
		status int
	}{
		{[]string{"a", "b", "c", "d"}, http.StatusBadRequest}, // and takes none
		{[]string{"a", "a", "b", "a", "b"}, http.StatusOK},
		{[]string{"a", "c", "d"}, http.StatusTooManyRequests},
		{[]string{"b", "c", "c", "a"}, http.StatusOK},
		{[]string{"d"}, http.StatusTooManyRequests},
	} {
		if got := send(test.nonces...); got != test.status {
			t.Errorf("batch %d: %d, want %d", i, got, test.status)
		}
	}
}

// A client is who Caddy says that it is, behind proxies too.
func TestClientsBehindAProxy(t *testing.T) {
	s := caddytest.ServeSites(t, "servers {\ntrusted_proxies static 127.0.0.1/32\n}\n", "sse_chat {\nrate 1 1h\nmax_subscribers 10 1\n}").Sites[0]
	for i, status := range []int{http.StatusOK, http.StatusTooManyRequests} {
		for _, client := range []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"} {
			if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, client); a.Status != status {
				t.Errorf("message %d of %s: %d %s", i, client, a.Status, a.Body)
			}
			c := s.Stream(t, "/subscribe", client)
			if first := c.Until(t, "retry: "); strings.HasPrefix(first, ":ok") != (i == 0) {
				t.Errorf("stream %d of %s: %q", i, client, first)
			}
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	strict := caddytest.Serve(t, "")
	own := "Origin: " + strict.URL
	for _, test := range []struct {
		header []string
		status int
	}{
		{nil, 200},
		{[]string{own}, 200},
		{[]string{"Sec-Fetch-Site: same-origin", own}, 200},
		{[]string{"Sec-Fetch-Site: none"}, 200},
		{[]string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403},
		{[]string{"Sec-Fetch-Site: same-site", "Origin: https://other.example"}, 403},
		{[]string{"Origin: https://evil.example"}, 403},
		{[]string{"Origin: null"}, 403},
		{[]string{"Sec-Fetch-Site: cross-site"}, 403},
		{[]string{"Origin: https://evil.example", "Content-Type: text/plain"}, 403},
	} {
		if a := strict.Do(t, http.MethodPost, "/update", `{"text":"x"}`, test.header...); a.Status != test.status || a.Status == 403 && !strings.Contains(a.Body, "error") {
			t.Errorf("POST with %v: %d %s, want %d", test.header, a.Status, a.Body, test.status)
		}
	}
	for path, method := range map[string]string{"/subscribe": http.MethodHead, "/history": http.MethodGet} {
		a := strict.Do(t, method, path, "", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
		if a.Status != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d, may be read by %q", path, a.Status, a.Header.Get("Access-Control-Allow-Origin"))
		}
	}

	s := caddytest.Serve(t, "origins https://chat.example.com http://localhost:5173")
	friend := "Origin: https://chat.example.com"
	a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, friend, "Sec-Fetch-Site: cross-site")
	if a.Status != http.StatusOK || a.Header.Get("Access-Control-Allow-Origin") != "https://chat.example.com" || !strings.Contains(a.Header.Get("Vary"), "Origin") {
		t.Errorf("POST of a friend: %d %v %s", a.Status, a.Header, a.Body)
	}
	if a := s.Do(t, http.MethodPost, "/update", `{}`, friend); a.Status != 400 || a.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a friend cannot read its error: %d %v", a.Status, a.Header)
	}
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"x"}`, "Origin: https://evil.example"); a.Status != 403 || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("POST of a stranger: %d %v", a.Status, a.Header)
	}
	for _, path := range []string{"/subscribe", "/update", "/history"} {
		a := s.Do(t, http.MethodOptions, path, "", friend, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type,idempotency-key")
		if a.Status != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Origin") != "https://chat.example.com" || a.Header.Get("Access-Control-Allow-Headers") == "" {
			t.Errorf("preflight of %s: %d %v", path, a.Status, a.Header)
		}
		a = s.Do(t, http.MethodOptions, path, "", "Origin: https://evil.example", "Access-Control-Request-Method: POST")
		if a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of %s by a stranger: %d %v", path, a.Status, a.Header)
		}
	}
	if got := s.Do(t, http.MethodGet, "/history", "", friend).Header.Get("Access-Control-Allow-Origin"); got != "https://chat.example.com" {
		t.Errorf("the history may be read by %q", got)
	}
	c := s.Stream(t, "/subscribe", friend)
	if got := c.Response.Header.Get("Access-Control-Allow-Origin"); got != "https://chat.example.com" {
		t.Errorf("a stream may be read by %q", got)
	}
	if a := s.Do(t, http.MethodOptions, "/update", ""); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST, PATCH, DELETE, OPTIONS" {
		t.Errorf("OPTIONS that is no preflight: %d, Allow %q", a.Status, a.Header.Get("Allow"))
	}
}

func TestAStoreThatIsDownIs503(t *testing.T) {
	s := caddytest.Serve(t, "store fragile")
	fragile.Close(t)
	for method, path := range map[string]string{http.MethodPost: "/update", http.MethodGet: "/history"} {
		body := ""
		if method == http.MethodPost {
			body = `{"text":"x"}`
		}
		a := s.Do(t, method, path, body)
		if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "2" || !strings.Contains(a.Body, "the store is closed") {
			t.Errorf("%s: %d, Retry-After %q, %s", path, a.Status, a.Header.Get("Retry-After"), a.Body)
		}
	}
}

func TestHandleErrorsWorks(t *testing.T) {
	const bad, answer404 = `{"text":1}`, `{"text":"x"}`
	for _, test := range []struct {
		name, block, want string
	}{
		{"a route for all", `handle_errors {
			respond "{err.status_code}: {err.message}" {err.status_code}
		}`, "400: " + noText},
		{"a route for other errors", `handle_errors 404 {
			respond "not here"
		}`, `{"error":"` + noText + `"}`},
		{"a route for these errors", `handle_errors 4xx {
			respond "refused"
		}`, "refused"},
		{"none", "", `{"error":"` + noText + `"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := caddytest.ServeSite(t, "rewrite /old /update\nsse_chat\n"+test.block)
			for _, path := range []string{"/update", "/old"} {
				if a := s.Do(t, http.MethodPost, path, bad); a.Body != test.want || a.Status != http.StatusBadRequest {
					t.Errorf("POST %s: %d %q, want 400 %q", path, a.Status, a.Body, test.want)
				}
			}
			if a := s.Do(t, http.MethodPost, "/update", answer404); a.Status != http.StatusOK {
				t.Errorf("what is no error: %d %s", a.Status, a.Body)
			}
		})
	}
}

// Each endpoint's errors come to the error routes, with what is in the header.
func TestHandleErrorsOfEachEndpoint(t *testing.T) {
	s := caddytest.ServeSite(t, "sse_chat {\nrate 1 1h\n}\nhandle_errors {\nrespond \"caught {err.status_code}\"\n}")
	s.Post(t, "/update", "x")
	for _, test := range []struct {
		method, path, body string
		status             int
		field, want        string
	}{
		{http.MethodPost, "/update", `{"text":"x"}`, 429, "Retry-After", "3600"},
		{http.MethodGet, "/update", "", 405, "Allow", "POST, PATCH, DELETE"},
		{http.MethodPut, "/subscribe", "", 405, "Allow", "GET, HEAD"},
		{http.MethodPut, "/history", "", 405, "Allow", "GET"},
		{http.MethodGet, "/subscribe?room=", "", 400, "", ""},
		{http.MethodGet, "/history?limit=x", "", 400, "", ""},
	} {
		a := s.Do(t, test.method, test.path, test.body)
		if a.Status != test.status || a.Body != fmt.Sprint("caught ", test.status) || a.Header.Get(test.field) != test.want {
			t.Errorf("%s %s: %d %s %v", test.method, test.path, a.Status, a.Body, a.Header)
		}
	}
}

// One who is told that its body is too large hears so, rather than a reset,
// also if its connection ends with the answer.
func TestABodyThatIsTooLargeIsAnswered(t *testing.T) {
	s := caddytest.Serve(t, "max_text 10")
	conn := s.Dial(t)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(chattest.Patience))
	fmt.Fprintf(conn, "POST /update HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n%100000s", s.Addr, "")
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") || !strings.HasSuffix(string(got), `{"error":"the body is larger than 4156 bytes"}`) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A request that limits its body in front of the handler keeps its status.
func TestRequestBodyLimit(t *testing.T) {
	s := caddytest.ServeSite(t, "request_body {\nmax_size 10\n}\nsse_chat")
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"hello world"}`); a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
