//go:build linux

package socket

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAPeerThatIsUnheard(t *testing.T) {
	p := newPoller(t)
	s, _, client := taken(t, p, "tcp")
	await := func(what string, ok func() bool) {
		t.Helper()
		for begin := time.Now(); !ok(); time.Sleep(time.Millisecond) {
			if time.Since(begin) > patience {
				t.Fatalf("not so: %s", what)
			}
		}
	}
	write := func() {
		t.Helper()
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	// nobody reads, but the peer's kernel acknowledges
	write()
	await("a peer that is there owes nothing", func() bool { _, owed := s.Unacked(); return !owed })
	raw, err := client.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	nothing := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	write()
	await("a peer that is gone owes an acknowledgement", func() bool {
		since, owed := s.Unacked()
		return owed && since > 100*time.Millisecond
	})
	if since, owed := Unacked(client); since > time.Hour || owed {
		t.Errorf("the client waits for %s, %v", since, owed)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{client, nil} {
		if _, owed := Unacked(conn); owed {
			t.Errorf("%v owes an acknowledgement", conn)
		}
	}
	p.Remove(s)
	s.Close()
}
