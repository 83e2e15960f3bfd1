package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

const patience = 10 * time.Second

// waiter passes on what it is told.
type waiter struct{ writable, gone chan struct{} }

func newWaiter() *waiter { return &waiter{make(chan struct{}, 100), make(chan struct{}, 100)} }

func (w *waiter) Writable() { w.writable <- struct{}{} }
func (w *waiter) Gone()     { w.gone <- struct{}{} }
func (w *waiter) Readable() {}

func (w *waiter) wait(t *testing.T, what string, told chan struct{}) {
	t.Helper()
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatalf("not told: %s", what)
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T, network string) (server, client net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return server, client
}

func taken(t *testing.T, p *Poller, network string) (*Socket, *waiter, net.Conn) {
	t.Helper()
	server, client := pair(t, network)
	if !Takes(server) {
		t.Fatalf("%T is not taken", server)
	}
	s, err := New(server)
	if err != nil {
		t.Fatal(err)
	}
	s.Own(server)
	w := newWaiter()
	if err := p.Add(&s, w); err != nil {
		t.Fatal(err)
	}
	return &s, w, client
}

func newPoller(t *testing.T) *Poller {
	t.Helper()
	if !Supported {
		t.Skip(errors.ErrUnsupported)
	}
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestWritingAndClosing(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			p := newPoller(t)
			s, _, client := taken(t, p, network)
			if n, err := s.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			// what the peer says meanwhile must not cost it the end
			if _, err := client.Write([]byte("more")); err != nil {
				t.Fatal(err)
			}
			p.Remove(s)
			s.Close()
			if got, err := io.ReadAll(client); string(got) != "hello" || err != nil {
				t.Errorf("the peer got %q, %v", got, err)
			}
		})
	}
}

func TestAFullSocketTellsWhenThereIsRoom(t *testing.T) {
	p := newPoller(t)
	s, w, client := taken(t, p, "tcp")
	w.wait(t, "writable from the start", w.writable)
	block := bytes.Repeat([]byte("x"), 1<<20)
	sent := 0
	for {
		n, err := s.Write(block)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n < len(block) {
			break
		}
		if sent > 1<<30 {
			t.Fatal("the socket takes everything")
		}
	}
	if n, err := s.Write(block); n != 0 || err != nil {
		t.Errorf("a full socket took %d, %v", n, err)
	}
	go func() { _, _ = io.CopyN(io.Discard, client, int64(sent)) }()
	w.wait(t, "writable again", w.writable)
	if n, err := s.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("a socket with room took %d, %v", n, err)
	}
}

func TestThePeerIsGone(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closed":      (*net.TCPConn).Close,
		"half closed": (*net.TCPConn).CloseWrite,
		"reset": func(c *net.TCPConn) error {
			return errors.Join(c.SetLinger(0), c.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPoller(t)
			s, w, client := taken(t, p, "tcp")
			if err := leave(client.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			w.wait(t, "gone", w.gone)
			p.Remove(s)
			s.Close()
		})
	}
}

// A slot that is used again does not hear what was meant for another.
func TestSlotsAreUsedAgain(t *testing.T) {
	p := newPoller(t)
	for range 100 {
		s, w, client := taken(t, p, "tcp")
		if len(p.slots) != 1 {
			t.Fatalf("%d slots for one socket", len(p.slots))
		}
		w.wait(t, "writable", w.writable)
		client.Close()
		w.wait(t, "gone", w.gone)
		p.Remove(s)
		s.Close()
		if len(w.gone) > 0 {
			t.Fatal("told twice")
		}
	}
}
