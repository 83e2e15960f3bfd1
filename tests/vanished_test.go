//go:build linux

package tests

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// Readers whose machine has vanished acknowledge nothing and say nothing. They
// are noticed all the same, soon after the first heartbeat or message that does
// not reach them, and count no longer. If they come back they are told that
// their stream has ended. Who reads nothing, but is there, stays.
func TestVanishedReaders(t *testing.T) {
	plain, goroutine, encrypted := chattest.FreeAddr(t), chattest.FreeAddr(t), chattest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(encrypted)
	caddyfile := "{" + caddytest.GlobalOptions() + "}\n"
	for site, options := range map[string]string{"http://" + plain: "", "http://" + goroutine: "park off", "https://localhost:" + port: ""} {
		caddyfile += fmt.Sprintf("%s {\nsse_chat {\nwrite_timeout 3s\nheartbeat 1s\n%s\n}\n}\n", site, options)
	}
	if err := caddytest.LoadCaddyfile(t, caddyfile); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	there := chattest.At("http://"+plain, &http.Client{Transport: new(http.Transport)})
	t.Cleanup(there.Client.CloseIdleConnections)
	there.Ready(t)
	first, _ := chattest.Gated(t, encrypted, "https", false)
	first.Ready(t)
	witness := there.Stream(t, "/subscribe?events=1")

	// it has little room, and the kernel here some for what that does not take
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048) })
	}}
	idle, err := small.Dial("tcp", plain)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprintf(idle, "GET /subscribe?room=lobby&room=full HTTP/1.1\r\nHost: %s\r\n\r\n", plain)
	witness.Until(t, `"count":2`)
	for range 8 {
		there.Post(t, "/update?room=full", strings.Repeat("x", 8<<10))
	}
	var readers []*chattest.Stream
	var conns []net.Conn
	for _, way := range []struct {
		scheme, addr string
		h2           bool
	}{{"http", plain, false}, {"https", encrypted, false}, {"http", goroutine, false}, {"https", encrypted, true}} {
		s, gate := chattest.Gated(t, way.addr, way.scheme, way.h2)
		c := s.Stream(t, "/subscribe?name=vanished")
		c.Until(t, "retry: ")
		readers, conns = append(readers, c), append(conns, gate.Conn)
	}
	witness.Until(t, `"count":6`)

	for _, conn := range conns {
		filter(t, conn, unix.SO_ATTACH_FILTER)
	}
	begin := time.Now()
	chattest.Eventually(t, "they are noticed", func() bool { return caddytest.Hub(t, "default").Subscribers <= 2 })
	t.Logf("noticed after %s", time.Since(begin))
	if closed := caddytest.Hub(t, "default").Counters.StreamsClosed; closed[hub.EndClient] != 4 || closed[hub.EndSlow] != 0 {
		t.Errorf("streams ended for %v, want 4 whose client was gone", closed)
	}
	for _, conn := range conns {
		filter(t, conn, unix.SO_DETACH_FILTER)
	}
	for i, c := range readers {
		rest, err := c.Rest(t)
		if strings.Contains(rest, "data: ") {
			t.Errorf("reader %d got %q, %v after it came back", i, rest, err)
		}
	}
	witness.Until(t, `"count":2`)
	// its machine is asked ever more seldom whether it has room
	time.Sleep(10*time.Second - time.Since(begin))
	if now := caddytest.Hub(t, "default"); now.Subscribers != 2 {
		t.Errorf("%d readers are left, want 2: %v", now.Subscribers, now.Counters.StreamsClosed)
	}
	if m := there.Post(t, "/update", "x"); !strings.Contains(witness.Until(t, `"text":"x"`), m.ID) {
		t.Error("who is there got another message")
	}
}

// filter has the machine behind a connection drop whatever comes for it, and so
// acknowledge nothing, as if it had lost its network; or have it back.
func filter(t *testing.T, conn net.Conn, option int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	nothing := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := unix.SockFprog{Len: 1, Filter: &nothing[0]}
	var filterErr error
	if err := raw.Control(func(fd uintptr) {
		filterErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, option, &program)
	}); err != nil {
		t.Fatal(err)
	}
	if filterErr != nil {
		t.Fatalf("dropping what comes for a socket: %v", filterErr)
	}
}
