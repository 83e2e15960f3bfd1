package clustertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// wire carries connections to a server until it is cut: then nothing gets
// through, and nobody is told.
type wire struct {
	net.Listener

	mu   sync.Mutex // guards all below
	to   string
	cut  chan struct{}
	heal chan struct{}
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to, cut: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(conn)
		}
	}()
	return w
}

func (w *wire) url() string { return "nats://" + w.Addr().String() }

func (w *wire) leadTo(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = address
}

func (w *wire) destination() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to
}

func (w *wire) state() (cut, heal chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut, w.heal
}

func (w *wire) carry(conn net.Conn) {
	defer conn.Close()
	cut, heal := w.state()
	if heal != nil {
		<-heal // whoever dials now waits, too
		return
	}
	server, err := net.Dial("tcp", w.destination())
	if err != nil {
		return
	}
	defer server.Close()
	ended := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			select {
			case <-cut:
				_, heal := w.state()
				if heal != nil {
					<-heal
				}
				err = io.ErrClosedPipe
			default:
			}
			if err != nil {
				break
			}
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		ended <- struct{}{}
	}
	go pass(server, conn)
	go pass(conn, server)
	<-ended
}

func (w *wire) separate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heal = make(chan struct{})
	close(w.cut)
}

func (w *wire) join() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.heal)
	w.cut, w.heal = make(chan struct{}), nil
}

// TestANodeThatIsCutOff keeps its readers, replays what it knows, refuses
// publishers, and catches up.
func TestANodeThatIsCutOff(t *testing.T) {
	nats := single(t)
	line := newWire(t, nats.Addr().String())
	cutOff, other := startCaddy(t, []string{line.url()}, ""), startCaddy(t, urls(nats), "")
	talkers := newCrowd(t, func() []string { return []string{other.url} }, "r")
	talkers.say(t.Context(), "r", "first in r")
	first := talkers.acked["r"][0][0]
	// readers that stay at the node, whatever happens
	for range 20 {
		r := &reader{room: "r", last: first, text: make(map[string]string)}
		talkers.readers = append(talkers.readers, r)
		talkers.reading.Go(func() {
			done := false
			err := subscribe(t.Context(), cutOff.url, "room=r", first, func(e event) bool {
				done = r.take(e)
				return !done
			})
			if !done {
				r.err = fmt.Sprintf("the stream ended: %v", err)
			}
		})
	}
	stop := talkers.talk(4, 20*time.Millisecond)
	time.Sleep(time.Second)
	line.separate()

	waitFor(t, "publishers are refused", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		begin := time.Now()
		status, _ := post(ctx, cutOff.url, "r", "into the void", "void")
		return status == http.StatusServiceUnavailable && time.Since(begin) < time.Second
	})
	// one who comes back to the node is served from its ring
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	n := 0
	if err := subscribe(ctx, cutOff.url, "room=r", first, func(e event) bool {
		if e.name == "gap" {
			t.Errorf("a gap was told: %s", e.data)
		}
		n++
		return n < 10
	}); err != nil || n < 10 {
		t.Errorf("while the node is cut off, a reader gets %d messages, %v", n, err)
	}
	cancel()

	line.join()
	time.Sleep(time.Second)
	stop()
	// what was refused may have been stored: it had a nonce
	if status, id := postUntilOK(t, other.url, "r", "into the void", "void"); status == http.StatusOK {
		talkers.acked["r"] = append(talkers.acked["r"], [2]string{id, "into the void"})
	}
	talkers.finish()
}

func postUntilOK(t *testing.T, url, room, text, nonce string) (status int, id string) {
	t.Helper()
	waitFor(t, "an answer", func() bool {
		status, id = post(t.Context(), url, room, text, nonce)
		return status == http.StatusOK
	})
	return status, id
}

// TestNATSThatComesLater has a node serve before its log can be reached.
func TestNATSThatComesLater(t *testing.T) {
	port := freePort(t)
	n := startCaddy(t, []string{fmt.Sprintf("nats://127.0.0.1:%d", port)}, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := make(chan string, 10)
	go func() {
		_ = subscribe(ctx, n.url, "", "", func(e event) bool {
			got <- e.data
			return true
		})
	}()
	if status, _ := post(ctx, n.url, "lobby", "too early", "early"); status != http.StatusServiceUnavailable {
		t.Errorf("without NATS a message is answered %d, want 503", status)
	}
	single(t, func(o *server.Options) { o.Port = port })
	_, id := postUntilOK(t, n.url, "lobby", "hello", "hello")
	select {
	case data := <-got:
		if want := fmt.Sprintf(`"id":"%s"`, id); !strings.Contains(data, want) {
			t.Errorf("the reader who was there first hears %s, want %s", data, want)
		}
	case <-ctx.Done():
		t.Fatal("the reader who was there first hears nothing")
	}
}
