//go:build linux && !race

package tests

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// peak returns by how much memory a process grew at most while f ran.
func (s *besieged) peak(t *testing.T, f func()) (bytes int) {
	t.Helper()
	resident := func(field string) int {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid))
		if err != nil {
			t.Fatal(err)
		}
		kb, _ := strconv.Atoi(string(regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(status)[1]))
		return kb << 10
	}
	s.usage(t) // collects garbage
	// https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.Pid), []byte("5"), 0); err != nil {
		t.Skip("the peak of a process's memory cannot be measured here:", err)
	}
	before := resident("VmRSS")
	f()
	return resident("VmHWM") - before
}

// No single request takes more memory than it may, whatever it asks for or
// sends.
func TestMemoryOfOneRequest(t *testing.T) {
	s := besiege(t, "max_text 30KiB")
	text := strings.Repeat("x", 30<<10)
	batch := strings.Repeat(`{"text":"`+text+"\"}\n", 1000)
	hundred := "/subscribe?last=1000000"
	publish := func(path, lines string) {
		t.Helper()
		if a := s.Do(t, http.MethodPost, path, lines, "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
			t.Fatalf("%s: %d %.200s", path, a.Status, a.Body)
		}
	}
	publish("/update?room=long", batch[:len(batch)/5])
	for i := range 100 {
		hundred += fmt.Sprint("&room=r", i)
		publish(fmt.Sprint("/update?room=r", i), strings.Repeat(`{"text":"`+text[:8<<10]+"\"}\n", 100))
	}
	// raw sends a request as it is and returns how the answer begins
	raw := func(head string, body io.Reader) string {
		conn := s.Dial(t)
		defer conn.Close()
		go func() {
			_, _ = fmt.Fprintf(conn, "%sHost: %s\r\n", head, s.Addr)
			_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{body}, make([]byte, 256<<10))
		}()
		line := make([]byte, 64)
		n, _ := io.ReadAtLeast(conn, line, len("HTTP/1.1 413"))
		return string(line[:n])
	}
	for _, test := range []struct {
		name string
		most int // MB
		run  func()
	}{
		{"a body without end or length", 8, func() {
			head := "POST /update HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
			if a := raw(head, io.MultiReader(strings.NewReader("\r\n"), endless("10000\r\n"+strings.Repeat("x", 64<<10)+"\r\n"))); !strings.HasPrefix(a, "HTTP/1.1 413") {
				t.Errorf("it is answered %q", a)
			}
		}},
		{"a body of 10 GB", 8, func() {
			if a := raw("POST /update HTTP/1.1\r\nContent-Length: 10000000000\r\n", io.MultiReader(strings.NewReader("\r\n"), endless(text))); !strings.HasPrefix(a, "HTTP/1.1 413") {
				t.Errorf("it is answered %q", a)
			}
		}},
		{"a header without end", 16, func() {
			if a := raw("GET /subscribe HTTP/1.1\r\n", endless("X-Header: "+text+"\r\n")); !strings.HasPrefix(a, "HTTP/1.1 431") {
				t.Errorf("it is answered %q", a)
			}
		}},
		{"a batch without end", 160, func() {
			head := "POST /update HTTP/1.1\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
			if a := raw(head, io.MultiReader(strings.NewReader("\r\n"), endless("10000\r\n"+strings.Repeat("x", 64<<10)+"\r\n"))); !strings.HasPrefix(a, "HTTP/1.1 413") {
				t.Errorf("it is answered %q", a)
			}
		}},
		{"all messages of 100 rooms, 80 MB", 32, func() {
			response := s.Send(t, t.Context(), http.MethodGet, hundred, "")
			defer response.Body.Close()
			if n, err := io.CopyN(io.Discard, response.Body, 78<<20); err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}},
		{"a page of the longest messages, 6 MB", 64, func() {
			if a := s.Do(t, http.MethodGet, "/history?room=long&limit=200", ""); a.Status != http.StatusOK || len(a.Body) < 6_000_000 {
				t.Errorf("%d, %d bytes", a.Status, len(a.Body))
			}
		}},
		{"a batch of 1,000 of the longest messages, 30 MB", 320, func() {
			publish("/update", batch)
		}},
	} {
		grown := s.peak(t, test.run)
		t.Logf("%s: %d MB", test.name, grown>>20)
		if grown > test.most<<20 {
			t.Errorf("%s takes %d MB, more than %d", test.name, grown>>20, test.most)
		}
	}
}

// endless is a text again and again.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	if n == 0 {
		return 0, io.ErrShortBuffer
	}
	return n, nil
}
