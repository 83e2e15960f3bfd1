package h2tap

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// A connection that carries no stream says goodbye after the idle timeout and is
// closed. One that carries only streams that were taken goes on.
func TestIdleConnections(t *testing.T) {
	s := serve(t, func(server *http.Server) { server.IdleTimeout = 200 * time.Millisecond }, func(http.ResponseWriter, *http.Request) {})
	unused, used, busy := chattest.DialHTTP2(t, s.addr, chattest.LargeWindows), chattest.DialHTTP2(t, s.addr, chattest.LargeWindows), chattest.DialHTTP2(t, s.addr, chattest.LargeWindows)
	o := s.stream(t, busy, 1)
	used.Get(1, "/")
	used.Ended(t, 1)
	isClosed := func(name string, c *chattest.HTTP2) {
		t.Helper()
		chattest.Eventually(t, "a connection is closed that was "+name, func() bool { return c.Err() != nil })
		if code := c.GoAway(); code == nil || *code != http2.ErrCodeNo || c.Err() != io.EOF {
			t.Errorf("a connection that was %s ends with %v, %v", name, code, c.Err())
		}
	}
	isClosed("unused", unused)
	isClosed("used", used)
	if err := busy.Err(); err != nil || busy.GoAway() != nil {
		t.Fatalf("a connection with a stream: %v, %v", err, busy.GoAway())
	}
	o.write(t, []byte("still there"))
	busy.Until(t, 1, "still there")
	o.End(true)
	if end := busy.Ended(t, 1); !end.IsEnded {
		t.Errorf("the stream ends with %v", end.Reset)
	}
	isClosed("used by a stream only", busy)
}

// A connection that was accepted, but comes after the server's shutdown, is told to go
// away. That may not come before the client's settings, which a session must read first.
func TestAConnectionComesAfterTheShutdown(t *testing.T) {
	all := &conns{open: make(map[*Conn]struct{})}
	all.shutDown()
	server, socket := pair(t)
	c := newConn(server, 0, defaultMaxStreams)
	all.add(c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.finish(all)
		new(http2.Server).ServeConn(c, &http2.ServeConnOpts{Handler: http.NotFoundHandler()}) //nolint:staticcheck // as in Install
	}()
	client := chattest.NewHTTP2(t, socket, chattest.LargeWindows)
	chattest.Eventually(t, "it is told", func() bool { return client.GoAway() != nil })
	if code := *client.GoAway(); code != http2.ErrCodeNo {
		t.Errorf("it is told %s, want %s", code, http2.ErrCodeNo)
	}
	client.Close()
	<-done
}

// PINGs are answered while there are taken streams, even if the session answers nothing.
func TestPingsNeedNoSession(t *testing.T) {
	server, socket := pair(t)
	c, _ := tapped(server)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		readAll(c) // and answers nothing, as a session that ends
	}()
	client := chattest.NewHTTP2(t, socket, chattest.LargeWindows)
	for range 3 {
		client.Write(func(w *http2.Framer) error { return w.WritePing(false, [8]byte{1}) })
	}
	chattest.Eventually(t, "it is answered", func() bool { return client.Frames(http2.FramePing) == 3 })
	client.Close()
	<-reading
}

// A connection whose session is over is not kept until the idle timeout.
func TestAConnectionThatIsOverHasNoTimer(t *testing.T) {
	server, _ := piped(t)
	c := newConn(server, time.Hour, defaultMaxStreams)
	c.clientOpens(header{kind: http2.FrameHeaders, stream: 1})
	c.leaving = true
	c.finish(nil)
	if c.idle.Stop() {
		t.Error("the timer runs")
	}
}

// Nothing can come after a frame or a header block that a session has left incomplete, so
// the connection and its streams end with that. After whole ones they go on.
func TestASessionLeavesItsLastFrameIncomplete(t *testing.T) {
	headers := func(whole bool) []byte {
		return framesOf(func(w *http2.Framer) {
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte("block"), EndHeaders: whole})
		})
	}
	data := framesOf(func(w *http2.Framer) { _ = w.WriteData(5, true, []byte("body")) })
	for name, last := range map[string]struct {
		sent   []byte
		isTorn bool
	}{
		"a frame's header":        {data[:headerLength-1], true},
		"a frame without payload": {data[:headerLength], true},
		"a part of a frame":       {data[:len(data)-1], true},
		"an open header block":    {headers(false), true},
		"a whole header block":    {headers(true), false},
		"a whole frame":           {data, false},
	} {
		t.Run(name+" of the last session", func(t *testing.T) { testLastFrame(t, last.sent, last.isTorn, phaseServed) })
		t.Run(name+" before a sleep", func(t *testing.T) { testLastFrame(t, last.sent, last.isTorn, phaseResting) })
	}
}

func testLastFrame(t *testing.T, last []byte, isTorn bool, phase uint32) {
	server, client := pair(t)
	c, owners := tapped(server)
	c.in.left = 0 // the preface was read
	c.phase.Store(phase)
	if _, err := c.Write(last); err != nil {
		t.Fatal(err)
	}
	if phase == phaseServed {
		c.leaving = true
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.rest()
		c.finish(nil)
	}()
	_ = client.SetReadDeadline(time.Now().Add(chattest.Patience))
	if isTorn {
		got, err := io.ReadAll(client)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the connection goes on")
			c.fail()
		}
		<-done
		if !bytes.HasPrefix(last, got) { // of an incomplete header nothing is passed on
			t.Errorf("the client gets %x, want %x", got, last)
		}
		for _, o := range owners {
			<-o.gone
		}
		return
	}
	owners[0].write(t, []byte("still there"))
	for _, o := range owners {
		o.End(true)
	}
	if phase == phaseResting {
		c.shutDown()
	}
	got, _ := io.ReadAll(client)
	if !bytes.HasPrefix(got, last) || !bytes.Contains(got, []byte("still there")) {
		t.Errorf("the client gets %x", got)
	}
	<-done
}

// What cannot be taken stays with its handler.
func TestTakeRefuses(t *testing.T) {
	s := serve(t, nil, nil)
	refused := func(name string) {
		t.Helper()
		if o := <-s.taken; o != nil {
			t.Errorf("taken: %s", name)
		}
	}
	small := chattest.DialHTTP2(t, s.addr, chattest.HTTP2Windows{Connection: 65535, Stream: 65535, AsUsed: true})
	small.Get(1, "/stream")
	refused("with a client's window of 65,535")
	if end := small.Ended(t, 1); !end.IsEnded || end.Body != "begin " {
		t.Errorf("%+v", end)
	}
	c := chattest.DialHTTP2(t, s.addr, chattest.LargeWindows)
	c.Request("POST", 1, false, "/stream")
	refused("with a body that is open")
	c.Ended(t, 1)
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: chattest.InsecureTLS()}}
	defer plain.CloseIdleConnections()
	res, err := plain.Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	refused("over HTTP/1.1")
	s.stream(t, c, 3) // and this one is
}
