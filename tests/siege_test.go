//go:build linux && !race

package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// besieged is a Caddy of its own, whose memory is that of nothing else.
type besieged struct {
	*caddytest.Process
}

func besiege(t *testing.T, options string) *besieged {
	t.Helper()
	return &besieged{caddytest.StartAdmin(t, chattest.FreeAddr(t), "http://"+chattest.FreeAddr(t), "sse_chat {\n"+options+"\n}")}
}

// usage is what a process holds.
type usage struct{ heap, goroutines, files, subscribers int }

func (s *besieged) usage(t *testing.T) (u usage) {
	t.Helper()
	number := func(path, form string) int {
		response, err := http.Get(s.Admin.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		match := regexp.MustCompile(form).FindSubmatch(body)
		if match == nil {
			t.Fatalf("%s has no %s: %.500s", path, form, body)
		}
		n, _ := strconv.Atoi(string(match[1]))
		return n
	}
	u.subscribers = number("/sse_chat/hubs", `"subscribers": ?(\d+)`)
	u.goroutines = number("/debug/pprof/goroutine?debug=1", `total (\d+)`)
	u.heap = number("/debug/pprof/heap?gc=1&debug=1", `# HeapAlloc = (\d+)`)
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Pid))
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(files)
	return u
}

// backTo waits until all that was held is given back, once the messages of
// some rooms are forgotten.
func (s *besieged) backTo(t *testing.T, base usage, rooms ...string) {
	t.Helper()
	s.Client.CloseIdleConnections()
	for _, room := range rooms {
		s.Admin.ForgetRoom(t, "default", room)
	}
	var now usage
	for begin := time.Now(); time.Since(begin) < 3*chattest.Patience; time.Sleep(100 * time.Millisecond) {
		now = s.usage(t)
		if now.subscribers == base.subscribers && now.goroutines <= base.goroutines+10 && now.files <= base.files+10 && now.heap <= base.heap+4<<20 {
			t.Logf("back to %+v from %+v", now, base)
			return
		}
	}
	t.Errorf("it holds %+v, want what it held before: %+v", now, base)
}

// listener is a reader that takes note of when messages come, or one that
// reads nothing.
type listener struct {
	conn      net.Conn
	texts     []string
	latencies []time.Duration
	err       error
}

// listen opens n streams over plain connections; those that read nothing have
// little room for what they are sent.
func (s *besieged) listen(t *testing.T, n int, path string, small bool) []*listener {
	t.Helper()
	dialer := net.Dialer{}
	if small {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) })
		}
	}
	list := make([]*listener, n)
	for i := range list {
		conn, err := dialer.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, s.Addr)
		list[i] = &listener{conn: conn}
	}
	return list
}

// run reads until the last message.
func (l *listener) run(last string) error {
	reader := bufio.NewReaderSize(l.conn, 64<<10)
	_ = l.conn.SetReadDeadline(time.Now().Add(6 * chattest.Patience))
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		data, found := bytes.CutPrefix(line, []byte("data: "))
		if !found {
			continue
		}
		var m chattest.Message
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		number, rest, _ := strings.Cut(m.Text, " ")
		sent, _, _ := strings.Cut(rest, " ")
		if at, err := strconv.ParseInt(sent, 10, 64); err == nil {
			l.latencies = append(l.latencies, time.Since(time.Unix(0, at)))
		}
		if l.texts = append(l.texts, number); number == last {
			return nil
		}
	}
}

// soak returns how much there is of something in a test, or in one that takes
// its time.
func soak[T any](usually, long T) T {
	if os.Getenv("SOAK") != "" {
		return long
	}
	return usually
}
