package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// serveWithWitness starts a site, and a reader of the room a on another connection.
func serveWithWitness(t *testing.T) (*chattest.Site, *chattest.Stream) {
	t.Helper()
	s := serveHTTP2(t, "")
	witness := s.Stream(t, "/subscribe?room=a")
	witness.Until(t, "retry: ")
	return s, witness
}

// serveHTTP2 starts a site over TLS, with a file /big of 8 MiB.
func serveHTTP2(t *testing.T, options string) *chattest.Site {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(chattest.FreeAddr(t))
	config := fmt.Sprintf("{%s}\nhttps://localhost:%s {\nbind 127.0.0.1\nroot %s\nsse_chat {\n%s\n}\nfile_server\n}\n", caddytest.GlobalOptions(), port, dir, options)
	if err := caddytest.LoadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	s := chattest.At("https://localhost:"+port, &http.Client{Transport: &http.Transport{TLSClientConfig: chattest.InsecureTLS()}})
	t.Cleanup(s.Client.CloseIdleConnections)
	s.Ready(t)
	return s
}

// subscribe opens streams of a room and waits until no handler has them any more.
func subscribe(t *testing.T, c *chattest.HTTP2, room string, ids ...uint32) {
	t.Helper()
	for _, id := range ids {
		c.Get(id, "/subscribe?room="+room)
	}
	for _, id := range ids {
		c.Until(t, id, "retry: ")
	}
	chattest.Eventually(t, "the streams are parked", func() bool { return chattest.WaitingIn("(*stream).run") == 0 })
}

// subscribers waits until the hub has so many.
func subscribers(t *testing.T, n int) {
	t.Helper()
	chattest.Eventually(t, fmt.Sprintf("%d readers are left", n), func() bool { return caddytest.Hub(t, "default").Subscribers == n })
}

// A client that sends far more frames than it has a use for harms nobody else, and the
// server goes on serving it or ends its connection.
func TestHTTP2FloodsOfFrames(t *testing.T) {
	s, witness := serveWithWitness(t)
	for _, flood := range []struct {
		name  string
		frame func(w *http2.Framer, i int) error
	}{
		{"SETTINGS", func(w *http2.Framer, i int) error {
			return w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 6<<20 + uint32(i%2)})
		}},
		{"PING", func(w *http2.Framer, i int) error { return w.WritePing(false, [8]byte{byte(i)}) }},
		{"RST_STREAM", func(w *http2.Framer, _ int) error { return w.WriteRSTStream(7, http2.ErrCodeCancel) }},
		{"WINDOW_UPDATE", func(w *http2.Framer, i int) error { return w.WriteWindowUpdate(uint32(i%2), 1) }},
		{"PRIORITY", func(w *http2.Framer, _ int) error { return w.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }},
		{"unknown frames", func(w *http2.Framer, _ int) error { return w.WriteRawFrame(99, 0, 1, make([]byte, 50)) }},
	} {
		t.Run(flood.name, func(t *testing.T) {
			c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
			subscribe(t, c, "a", 1, 3, 7)
			c.Reset(7)
			for i := range 40_000 {
				if !c.Write(func(w *http2.Framer) error { return flood.frame(w, i) }) {
					break
				}
				if i%10_000 == 0 {
					m := s.Post(t, "/update?room=a", flood.name)
					witness.Until(t, m.ID)
				}
			}
			if m := s.Post(t, "/update?room=a", flood.name); c.Err() == nil {
				c.Until(t, 1, m.ID)
				c.Until(t, 3, m.ID)
			}
			c.Close()
			subscribers(t, 1)
		})
	}
}

// A client that opens and resets streams without end costs nobody anything.
func TestHTTP2RapidReset(t *testing.T) {
	s, witness := serveWithWitness(t)
	c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
	subscribe(t, c, "a", 1)
	for i := range uint32(10_000) {
		if !c.Get(2*i+3, "/subscribe?room=a") || !c.Reset(2*i+3) {
			break
		}
		if i%2000 == 0 {
			witness.Until(t, s.Post(t, "/update?room=a", "x").ID)
		}
	}
	if c.Err() == nil {
		c.Until(t, 1, s.Post(t, "/update?room=a", "x").ID)
		subscribers(t, 2)
	}
	c.Close()
	subscribers(t, 1)
}

// Of 10,000 streams that a client opens at most 250 are served, parked ones included,
// and one that ends makes room for another.
func TestHTTP2StreamsBeyondTheLimit(t *testing.T) {
	s, witness := serveWithWitness(t)
	c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
	var ids []uint32
	for i := range uint32(250) {
		ids = append(ids, 2*i+1)
	}
	subscribe(t, c, "a", ids...)
	subscribers(t, 251)
	c.Get(501, "/subscribe?room=a")
	if end := c.Ended(t, 501); end.Reset == nil || *end.Reset != http2.ErrCodeRefusedStream || end.Status != "" {
		t.Errorf("one more ends with %+v", end)
	}
	c.Reset(1)
	c.Get(503, "/subscribe?room=a")
	c.Until(t, 503, "retry: ")
	for id := uint32(505); id < 20_000; id += 2 {
		if !c.Get(id, "/subscribe?room=a") {
			break
		}
		if id%4000 == 1 {
			witness.Until(t, s.Post(t, "/update?room=a", "x").ID)
		}
	}
	if n := caddytest.Hub(t, "default").Subscribers; n > 251 {
		t.Errorf("%d readers", n)
	}
	if m := s.Post(t, "/update?room=a", "x"); c.Err() == nil {
		c.Until(t, 503, m.ID)
	}
	c.Close()
	subscribers(t, 1)
}

// What a client may not send on a parked stream ends that stream, or its connection,
// with an error.
func TestHTTP2FaultsOnAParkedStream(t *testing.T) {
	s, witness := serveWithWitness(t)
	for _, fault := range []struct {
		name  string
		frame func(w *http2.Framer) error
	}{
		{"DATA", func(w *http2.Framer) error { return w.WriteData(3, false, []byte("x")) }},
		{"the end again", func(w *http2.Framer) error { return w.WriteData(3, true, nil) }},
		{"HEADERS", func(w *http2.Framer) error {
			return w.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x82}, EndHeaders: true, EndStream: true})
		}},
		{"a grant of nothing", func(w *http2.Framer) error { return w.WriteWindowUpdate(3, 0) }},
		{"a grant of too much", func(w *http2.Framer) error { return w.WriteWindowUpdate(3, 1<<31-1) }},
		{"a grant of too much to the connection", func(w *http2.Framer) error { return w.WriteWindowUpdate(0, 1<<31-1) }},
		{"WINDOW_UPDATE of 3 bytes", func(w *http2.Framer) error { return w.WriteRawFrame(http2.FrameWindowUpdate, 0, 3, []byte("xxx")) }},
		{"RST_STREAM of 3 bytes", func(w *http2.Framer) error { return w.WriteRawFrame(http2.FrameRSTStream, 0, 3, []byte("xxx")) }},
		{"a frame of 16 MB", func(w *http2.Framer) error { return w.WriteRawFrame(http2.FrameData, 0, 3, make([]byte, 1<<24-1)) }},
		{"CONTINUATION", func(w *http2.Framer) error { return w.WriteContinuation(3, true, []byte{0x82}) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
			subscribe(t, c, "a", 1, 3)
			c.Write(fault.frame)
			end := c.Ended(t, 3)
			if end.IsEnded || end.Reset == nil && c.Err() == nil {
				t.Errorf("the stream ends with %+v, %v", end, c.Err())
			}
			m := s.Post(t, "/update?room=a", fault.name)
			witness.Until(t, m.ID)
			if c.Err() == nil && c.GoAway() == nil {
				c.Until(t, 1, m.ID)
			}
			c.Close()
			subscribers(t, 1)
		})
	}
}

// A client that grants a byte at a time gets all, but not in a frame for each.
func TestHTTP2OneByteAtATime(t *testing.T) {
	s := serveHTTP2(t, "write_timeout 30s")
	c := chattest.DialHTTP2(t, s.Addr, chattest.HTTP2Windows{Connection: 1 << 20, Stream: 100})
	subscribe(t, c, "a", 1)
	var last chattest.Message
	for range 3 {
		last = s.Post(t, "/update?room=a", strings.Repeat("x", 200))
	}
	begin := time.Now()
	chattest.Eventually(t, "all arrives", func() bool {
		c.Grant(1, 1)
		return strings.Contains(c.Stream(1).Body, `"id":"`+last.ID)
	})
	if n, most := c.Stream(1).Frames, 10+int(time.Since(begin)/(200*time.Millisecond)); n > most {
		t.Errorf("%d frames, want at most %d", n, most)
	}
}

// A client that says with GOAWAY that it will open no more streams hears on those that
// it has. One that says goodbye in TLS is gone.
func TestHTTP2ClientsThatLeave(t *testing.T) {
	s := serveHTTP2(t, "")
	c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
	subscribe(t, c, "a", 1, 3)
	c.Write(func(w *http2.Framer) error { return w.WriteGoAway(0, http2.ErrCodeNo, nil) })
	chattest.Eventually(t, "the server says so too", func() bool { return c.GoAway() != nil })
	for range 3 {
		m := s.Post(t, "/update?room=a", "x")
		c.Until(t, 1, m.ID)
		c.Until(t, 3, m.ID)
		c.Write(func(w *http2.Framer) error { return w.WritePing(false, [8]byte{}) })
		time.Sleep(time.Second) // the server closes such connections after that
	}
	subscribers(t, 2)
	c.Reset(1)
	subscribers(t, 1)
	c.Reset(3)
	subscribers(t, 0)
	chattest.Eventually(t, "the connection is closed", func() bool { return c.Err() == io.EOF })

	for name, leave := range map[string]func(net.Conn) error{
		"with close_notify":    func(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() },
		"without a goodbye":    func(c net.Conn) error { return tcp(c).CloseWrite() },
		"with an error of TLS": func(c net.Conn) error { _, err := tcp(c).Write([]byte("GET / HTTP/1.1\r\n\r\n")); return err },
	} {
		c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
		subscribe(t, c, "a", 1, 3)
		if err := leave(c.Conn); err != nil {
			t.Fatal(err)
		}
		chattest.Eventually(t, "a connection is closed that ends "+name, func() bool { return c.Err() != nil })
		subscribers(t, 0)
	}
}

func tcp(conn net.Conn) *net.TCPConn {
	return conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
}

// A stream beside a slow download hears what is said, and is not cut.
func TestHTTP2StreamBesideASlowDownload(t *testing.T) {
	s := serveHTTP2(t, "write_timeout 2s")
	c := chattest.DialHTTP2(t, s.Addr, chattest.HTTP2Windows{Connection: 12 << 20, Stream: 6 << 20, AsUsed: true, Delay: 20 * time.Millisecond})
	subscribe(t, c, "a", 1)
	c.Get(3, "/big")
	chattest.Eventually(t, "the download goes on", func() bool { return len(c.Stream(3).Body) > 1<<20 })
	for i := range 10 {
		begin := time.Now()
		c.Until(t, 1, s.Post(t, "/update?room=a", fmt.Sprint(i)).ID)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("a message takes %s", took)
		}
		time.Sleep(200 * time.Millisecond)
	}
	if got := c.Stream(3); got.IsEnded {
		t.Error("the download is over already")
	}
}

// A stream whose own window is used up is cut after write_timeout, and alone.
func TestHTTP2StreamThatTakesNothing(t *testing.T) {
	s := serveHTTP2(t, "write_timeout 1s")
	c := chattest.DialHTTP2(t, s.Addr, chattest.HTTP2Windows{Connection: 12 << 20, Stream: 8 << 10})
	c.Get(1, "/subscribe?room=a")
	c.Get(3, "/subscribe?room=b")
	subscribe(t, c, "a", 5)
	c.Grant(5, 1<<20)
	for range 20 {
		m := s.Post(t, "/update?room=a", strings.Repeat("x", 1000))
		c.Until(t, 5, m.ID)
	}
	if end := c.Ended(t, 1); end.Reset == nil || c.Err() != nil {
		t.Errorf("it ends with %+v, %v", end, c.Err())
	}
	c.Until(t, 3, s.Post(t, "/update?room=b", "x").ID)
	c.Until(t, 5, s.Post(t, "/update?room=a", "x").ID)
	if closed := caddytest.Hub(t, "default").Counters.StreamsClosed; closed["slow"] != 1 {
		t.Errorf("closed: %v", closed)
	}
}

// No byte of a room reaches a stream of another, while 500 clients come, reset streams
// and go.
func TestHTTP2StreamsAreApart(t *testing.T) {
	s := serveHTTP2(t, "max_rooms 2000")
	const clients, streams, rounds = 500, 3, 2
	room := func(client, i int) string { return fmt.Sprintf("r%dx", client*streams+i) }
	stop := make(chan struct{})
	var posting, crowd sync.WaitGroup
	var heard atomic.Int64
	for p := range 2 {
		posting.Go(func() {
			for i := p; ; i += 2 {
				select {
				case <-stop:
					return
				default:
				}
				room := room(i%clients, i/clients%streams)
				s.Do(t, http.MethodPost, "/update?room="+room, fmt.Sprintf(`{"text":"%d %s"}`, i, strings.Repeat(room, 1+i%300)))
			}
		})
	}
	for n := range clients {
		crowd.Go(func() {
			for round := range rounds {
				c := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
				for i := range streams {
					c.Get(uint32(2*i+1), "/subscribe?last=50&room="+room(n, i))
				}
				time.Sleep(time.Duration(1000+50*(n%40)) * time.Millisecond)
				c.Reset(uint32(2*((n+round)%streams) + 1))
				time.Sleep(time.Second)
				for i := range streams {
					heard.Add(checkRoom(t, c.Stream(uint32(2*i+1)).Body, room(n, i)))
				}
				if err := c.Err(); err != nil {
					t.Errorf("client %d: %v", n, err)
				}
				c.Close()
			}
		})
	}
	crowd.Wait()
	close(stop)
	posting.Wait()
	if n := heard.Load(); n < 2*clients {
		t.Errorf("%d clients have heard %d messages", clients, n)
	}
	subscribers(t, 0)
}

// checkRoom counts the messages of a stream, which must all be of one room, each with
// a larger number than the one before.
func checkRoom(t *testing.T, body, room string) (n int64) {
	last := -1
	for _, e := range chattest.ParseStream(body) {
		var m chattest.Message
		e.Decode(t, &m)
		number, text, _ := strings.Cut(m.Text, " ")
		i, err := strconv.Atoi(number)
		if m.Room != room || err != nil || i <= last || text != strings.Repeat(room, 1+i%300) {
			t.Errorf("a stream of %s has %+v after the message %d", room, e, last)
		}
		last = i
		n++
	}
	return n
}
