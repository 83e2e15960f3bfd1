package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// wire carries connections to a server until it is cut: then nothing gets
// through, and nobody is told.
type wire struct {
	*chattest.Network

	mu   sync.Mutex // guards all below
	cut  chan struct{}
	heal chan struct{}
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{cut: make(chan struct{})}
	w.Network = chattest.NewNetwork(t, to, w.begin)
	return w
}

func (w *wire) url() string { return "nats://" + w.Addr }

func (w *wire) state() (cut, heal chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut, w.heal
}

func (w *wire) begin(*chattest.Link) chattest.Pass {
	cut, heal := w.state()
	if heal != nil {
		<-heal // whoever dials now waits, too
		return nil
	}
	return func([]byte, bool) bool {
		select {
		case <-cut:
			if _, heal := w.state(); heal != nil {
				<-heal
			}
			return false
		default:
			return true
		}
	}
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
	talkers := newCrowd(t, func() []string { return []string{other.URL} }, "r")
	talkers.say(t.Context(), "r", "first in r")
	first := talkers.acked["r"][0][0]
	// readers that stay at the node, whatever happens
	for range 20 {
		r := &reader{room: "r", last: first, text: make(map[string]string)}
		talkers.readers = append(talkers.readers, r)
		talkers.reading.Go(func() {
			done := false
			err := subscribe(t.Context(), cutOff.URL, "room=r", first, func(e chattest.Event) bool {
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
		status, _ := post(ctx, cutOff.URL, "r", "into the void", "void")
		return status == http.StatusServiceUnavailable && time.Since(begin) < time.Second
	})
	// one who comes back to the node is served from its ring
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	n := 0
	if err := subscribe(ctx, cutOff.URL, "room=r", first, func(e chattest.Event) bool {
		if e.Name == "gap" {
			t.Errorf("a gap was told: %s", e.Data)
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
	if status, id := postUntilOK(t, other.URL, "r", "into the void", "void"); status == http.StatusOK {
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
		_ = subscribe(ctx, n.URL, "", "", func(e chattest.Event) bool {
			got <- e.Data
			return true
		})
	}()
	if status, _ := post(ctx, n.URL, "lobby", "too early", "early"); status != http.StatusServiceUnavailable {
		t.Errorf("without NATS a message is answered %d, want 503", status)
	}
	single(t, func(o *server.Options) { o.Port = port })
	_, id := postUntilOK(t, n.URL, "lobby", "hello", "hello")
	select {
	case data := <-got:
		if want := fmt.Sprintf(`"id":"%s"`, id); !strings.Contains(data, want) {
			t.Errorf("the reader who was there first hears %s, want %s", data, want)
		}
	case <-ctx.Done():
		t.Fatal("the reader who was there first hears nothing")
	}
}
