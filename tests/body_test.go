package tests

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

func TestCompressedBodiesAreRefused(t *testing.T) {
	s := caddytest.Serve(t, "")
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	fmt.Fprint(w, `{"text":"hi"}`)
	w.Close()
	for _, test := range []struct {
		body, encoding string
		status         int
		want           string
	}{
		{body.String(), "gzip", 415, `the content encoding "gzip" is not supported`},
		{body.String(), "identity, GZIP", 415, `"GZIP" is not supported`},
		{`{"text":"hi"}`, "br", 415, `"br" is not supported`},
		{body.String(), "", 400, "the body is compressed with gzip"},
		{`{"text":"hi"}`, "identity", 200, ""},
		{`{"text":"hi"}`, "Identity , ", 200, ""},
	} {
		for _, contentType := range []string{"application/json", "application/x-ndjson"} {
			a := s.Do(t, http.MethodPost, "/update", test.body, "Content-Encoding: "+test.encoding, "Content-Type: "+contentType)
			if a.Status != test.status || test.status != 200 && !strings.Contains(a.ErrorText(t), test.want) {
				t.Errorf("%q as %s: %d %s, want %d with %q", test.encoding, contentType, a.Status, a.Body, test.status, test.want)
			}
			if got := a.Header.Get("Accept-Encoding"); (got == "identity") != (test.status == 415) {
				t.Errorf("%q: %d, Accept-Encoding %q", test.encoding, a.Status, got)
			}
		}
	}
	if n := caddytest.Hub(t, "default").Counters.Rejected[hub.RejectInvalid]; n != 8 {
		t.Errorf("%d are counted as invalid, want 8", n)
	}
}

// A batch is answered in the type in which it came.
func TestTypesOfBatches(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, contentType := range []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "Application/JSONL; charset=utf-8"} {
		a := s.Do(t, http.MethodPost, "/update", "\ufeff{\"text\":\"1\"}\n{\"text\":\"2\"}\n", "Content-Type: "+contentType)
		want, _, _ := strings.Cut(strings.ToLower(contentType), ";")
		if a.Status != http.StatusOK || strings.Count(a.Body, "\n") != 2 || a.Header.Get("Content-Type") != want {
			t.Errorf("%s: %d %s %s", contentType, a.Status, a.Header.Get("Content-Type"), a.Body)
		}
	}
	if a := s.Do(t, http.MethodPost, "/update", "{\"text\":\"1\"}\n{\"text\":\"2\"}\n"); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "application/x-ndjson") {
		t.Errorf("a batch that is not said to be one: %d %s", a.Status, a.Body)
	}
}

// Each line of a batch is for the room of the URL.
func TestRoomsInABatch(t *testing.T) {
	s := caddytest.Serve(t, "")
	for body, want := range map[string]string{
		"{\"text\":\"1\",\"room\":\"tea\"}\n{\"text\":\"2\"}":                            "",
		"{\"text\":\"1\"}\n\n{\"text\":\"2\",\"room\":\"staff\"}":                        `line 3: room: the message says "staff", but the URL names "tea"`,
		"{\"text\":\"1\",\"room\":\"tea\"}\n{\"text\":\"2\",\"room\":\"lobby\",\"x\":1}": `line 2: room: the message says "lobby"`,
	} {
		a := s.Do(t, http.MethodPost, "/update?room=tea", body, "Content-Type: application/x-ndjson")
		if want == "" && a.Status != http.StatusOK || want != "" && (a.Status != http.StatusBadRequest || !strings.Contains(a.ErrorText(t), want)) {
			t.Errorf("%q: %d %s, want %q", body, a.Status, a.Body, want)
		}
	}
}

func TestIdempotencyKeysInQuotes(t *testing.T) {
	s := caddytest.Serve(t, "")
	first := s.Do(t, http.MethodPost, "/update", `{"text":"one","nonce":"abc"}`)
	for _, key := range []string{`abc`, `"abc"`} {
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"one"}`, "Idempotency-Key: "+key); a.Body != first.Body {
			t.Errorf("%s: %d %s, want %s", key, a.Status, a.Body, first.Body)
		}
	}
	for _, key := range []string{`"abc`, `abc"`, `""`, `"`, `"a b"`, `"a\"b"`, `"abc";x=1`, `""abc""`} {
		if a := s.Do(t, http.MethodPost, "/update", `{"text":"one"}`, "Idempotency-Key: "+key); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "Idempotency-Key") {
			t.Errorf("%s: %d %s", key, a.Status, a.Body)
		}
	}
	if a := s.Do(t, http.MethodPost, "/update", `{"text":"one"}`, "Idempotency-Key: a", "Idempotency-Key: b"); a.Status != http.StatusBadRequest {
		t.Errorf("two keys: %d %s", a.Status, a.Body)
	}
}

// What a plain <form> sends is a message; what is JSON is JSON, whatever curl
// says of it.
func TestForms(t *testing.T) {
	s := caddytest.Serve(t, "max_text 1KiB")
	for _, test := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"a text", "text=hi", 200, `"text":"hi","timestamp"`},
		{"all fields", "text=%EC%95%88%EB%85%95+%26+%3Cb%3E&name=%EA%B9%80&nonce=n1&room=lobby", 200, `"text":"안녕 & <b>","timestamp":`},
		{"line ends, as browsers send them", "text=a%0D%0A%0D%0Ab", 200, `"text":"a\n\nb"`},
		{"fields that are not filled in", "text=hi&name=&nonce=&room=", 200, `"text":"hi"`},
		{"other fields", "csrf=x&text=hi&send", 200, `"text":"hi"`},
		{"an escaped name of a field", "%74ext=hi", 200, `"text":"hi"`},
		{"a line end of curl's", "text=hi\r\n", 200, `"text":"hi"`},
		{"JSON", `{"text":"a=b&c"}`, 200, `"text":"a=b&c"`},
		{"JSON after white space", "\n {\"text\":\"hi\"}", 200, `"text":"hi"`},
		{"JSON after a mark", "\ufeff{\"text\":\"hi\"}", 200, `"text":"hi"`},

		{"no text", "name=kim", 400, noText},
		{"an empty text", "text=", 400, noText},
		{"white space", "text=+%0D%0A", 400, noText},
		{"nothing", "", 400, "the body is empty"},
		{"another room", "text=hi&room=tea", 400, `room: the message says "tea", but the URL names "lobby"`},
		{"a percent sign", "text=50% off", 400, `form field "text": "% o" must be % and two hexadecimal digits; % itself is %25`},
		{"half an escape", "text=%E", 400, `form field "text": "%E" must be`},
		{"bad UTF-8", "text=%FF", 400, `form field "text": not UTF-8`},
		{"a control character", "text=a%00b", 400, "control character U+0000"},
		{"an invisible name", "text=hi&name=kim%E2%80%8B", 400, "U+200B is not printable"},
		{"a wrong nonce", "text=hi&nonce=a+b", 400, "nonce"},
		{"a text that is too long", "text=" + strings.Repeat("%EA%B0%80", 342), 413, "1026 bytes are more than 1024"},
		{"JSON that ends too early", `{"text":"hi"`, 400, "not JSON: it ends too early"},
		{"JSON in the quotes of another shell", `'{"text":"hi"}'`, 400, "not JSON: byte 1: found ' (U+0027)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.Do(t, http.MethodPost, "/update", test.body, "Content-Type: application/x-www-form-urlencoded")
			if a.Status != test.status || test.status == 200 && !strings.Contains(a.Body, test.want) || test.status != 200 && !strings.Contains(a.ErrorText(t), test.want) {
				t.Errorf("%d %s, want %d with %s", a.Status, a.Body, test.status, test.want)
			}
		})
	}
	multipart := "--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nhi\r\n--b--\r\n"
	if a := s.Do(t, http.MethodPost, "/update", multipart, "Content-Type: multipart/form-data; boundary=b"); a.Status != 400 || !strings.Contains(a.Body, "must be sent as application/x-www-form-urlencoded") {
		t.Errorf("a form in parts: %d %s", a.Status, a.Body)
	}
}

// Turbo takes an answer with status 200 to a form for a failure.
func TestAFormOfTurbo(t *testing.T) {
	s := caddytest.Serve(t, "")
	for accept, status := range map[string]int{
		"text/vnd.turbo-stream.html, text/html, application/xhtml+xml": http.StatusCreated,
		"text/html, application/xhtml+xml":                             http.StatusOK,
	} {
		a := s.Do(t, http.MethodPost, "/update", "text=hi", "Content-Type: application/x-www-form-urlencoded", "Accept: "+accept)
		if a.Status != status || !strings.HasPrefix(a.Body, `{"text":"hi",`) {
			t.Errorf("to who accepts %s: %d %s, want %d", accept, a.Status, a.Body, status)
		}
	}
}

// A nonce of a form and one of JSON are one space, and so is the header.
func TestFormsAreRepeated(t *testing.T) {
	s := caddytest.Serve(t, "")
	first := s.Do(t, http.MethodPost, "/update", "text=hi&nonce=n", "Content-Type: application/x-www-form-urlencoded")
	for _, again := range []chattest.Answer{
		s.Do(t, http.MethodPost, "/update", "text=hi", "Content-Type: application/x-www-form-urlencoded", "Idempotency-Key: n"),
		s.Do(t, http.MethodPost, "/update", `{"text":"hi","nonce":"n"}`),
	} {
		if again.Status != http.StatusOK || again.Body != first.Body {
			t.Errorf("a repeat is answered %d %s, want %s", again.Status, again.Body, first.Body)
		}
	}
}
