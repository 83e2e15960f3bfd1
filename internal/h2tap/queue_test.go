package h2tap

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// slowWindows are those of a client that grants more than the kernel holds, and has a
// small buffer.
var slowWindows = chattest.HTTP2Windows{Connection: 128 << 20, Stream: 32 << 20, Delay: 1}

// stall has a client read nothing while it downloads, and returns when the server's write
// waits.
func (s *site) stall(t *testing.T, c *chattest.HTTP2, id uint32, conn *Conn) (resume func()) {
	t.Helper()
	resume = c.StopReading()
	c.Get(id, "/download")
	begin := time.Now()
	chattest.Eventually(t, "the server's write waits", func() bool {
		if !conn.serverWrites() {
			begin = time.Now()
		}
		return time.Since(begin) > 200*time.Millisecond
	})
	return resume
}

// serverWrites reports whether the server is writing.
func (c *Conn) serverWrites() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.isOpen
}

// A stream does not wait while the server's write does, however much it has to write, and
// neither does its end. Nothing is lost.
func TestStreamsDoNotWaitForTheServersWrite(t *testing.T) {
	const download = 20 << 20
	s := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, download))
	})
	c := chattest.DialHTTP2(t, s.addr, slowWindows)
	goesOn, ends := s.stream(t, c, 1), s.stream(t, c, 3)
	for _, o := range []*owner{goesOn, ends} {
		o.write(t, []byte("first,"))
		c.Until(t, o.id, "first,")
	}
	resume := s.stall(t, c, 5, goesOn.conn)
	want := counted(1 << 20)
	rest := []byte(want)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n, err := ends.Write([]byte("last")); n != 4 || err != nil {
			t.Errorf("%d bytes are left in the queue: %v", n, err)
		}
		ends.End(true)
		for range 1000 {
			n, err := goesOn.Write(rest)
			if err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
	}()
	select {
	case <-done:
	case <-time.After(chattest.Patience):
		c.Close() // so that the write ends
		<-done
		t.Fatal("a stream waits")
	}
	if !goesOn.conn.serverWrites() || len(c.Stream(5).Body) >= download/2 {
		t.Error("the server's write did not wait")
	}
	if n := len(want) - len(rest); n == 0 || n > maxQueue+headerLength+maxData {
		t.Errorf("%d bytes are left in the queue", n)
	}
	resume()
	goesOn.write(t, rest)
	goesOn.End(true)
	for id, body := range map[uint32]int{1: len("begin first,") + len(want), 3: len("begin first,last"), 5: download} {
		if end := c.Ended(t, id); !end.IsEnded || len(end.Body) != body {
			t.Errorf("stream %d has %d bytes of %d (ended: %t, reset: %v), %v", id, len(end.Body), body, end.IsEnded, end.Reset, c.Err())
		}
	}
	if got := c.Stream(1).Body; got != "begin first,"+want {
		t.Errorf("got %.100q", got)
	}
}
