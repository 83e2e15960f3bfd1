package chattest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP2 is a client's connection over HTTP/2 of which a test chooses each frame. A
// goroutine reads what the server sends, checks that it keeps to what was granted,
// and answers SETTINGS and PING. All methods are safe for concurrent use.
type HTTP2 struct {
	Conn  net.Conn
	delay time.Duration
	// closed is closed by Close.
	closed chan struct{}
	once   sync.Once

	wmu    sync.Mutex // guards all up to mu
	noAcks bool
	framer *http2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder

	mu       sync.Mutex // guards all below
	streams  map[uint32]*HTTP2Stream
	frames   map[http2.FrameType]int
	acks     int
	goAway   *http2.ErrCode
	err      error
	paused   chan struct{} // until this is closed nothing is read; nil is at once
	faults   []string
	asked    []int // changes of streams' windows that are not acknowledged
	wanted   int   // window of a new stream as it was asked for last
	initial  int   // window of a new stream
	granted  int   // sum of what was granted to the connection
	received int   // sum of what has come on it
	// half is how much of the connection's and of a stream's window is granted
	// again at a time; 0 is never.
	half, streamHalf int
}

// HTTP2Stream is what has come on a stream so far.
type HTTP2Stream struct {
	Status  string
	Body    string
	Frames  int            // number of DATA frames
	IsEnded bool           // END_STREAM has come
	Reset   *http2.ErrCode // nil without RST_STREAM

	body              bytes.Buffer
	received, granted int
}

// HTTP2Windows are what a client grants, and how fast it reads.
type HTTP2Windows struct {
	// Connection is the window of the connection, at least 65,535.
	Connection int
	// Stream is that of each stream.
	Stream int
	// Delay is how long the client waits before it reads the next DATA frame. Its
	// socket takes little then.
	Delay time.Duration
	// AsUsed is whether the client grants as much again as soon as half of a window
	// is used, but not before that.
	AsUsed bool
	// NoAcks is whether the test acknowledges the server's settings itself.
	NoAcks bool
}

// LargeWindows are about those of a browser.
var LargeWindows = HTTP2Windows{Connection: 12 << 20, Stream: 6 << 20, AsUsed: true}

// DialHTTP2 connects to a server, which must be over TLS.
func DialHTTP2(t testing.TB, addr string, windows HTTP2Windows) *HTTP2 {
	t.Helper()
	config := InsecureTLS()
	config.NextProtos = []string{"h2"}
	socket, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if windows.Delay > 0 {
		_ = socket.(*net.TCPConn).SetReadBuffer(32 << 10)
	}
	return NewHTTP2(t, tls.Client(socket, config), windows)
}

// NewHTTP2 is [DialHTTP2] with a connection that there is already. Its Delay is not that
// of the socket.
func NewHTTP2(t testing.TB, conn net.Conn, windows HTTP2Windows) *HTTP2 {
	t.Helper()
	c := &HTTP2{
		Conn: conn, closed: make(chan struct{}), framer: http2.NewFramer(conn, conn), streams: make(map[uint32]*HTTP2Stream),
		delay: windows.Delay, noAcks: windows.NoAcks, frames: make(map[http2.FrameType]int), asked: []int{0}, wanted: windows.Stream, initial: windows.Stream, granted: windows.Connection,
	}
	if windows.AsUsed {
		c.half, c.streamHalf = windows.Connection/2, windows.Stream/2
	}
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.hpack = hpack.NewEncoder(&c.block)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(windows.Stream)}, http2.Setting{ID: http2.SettingEnablePush})
	if more := windows.Connection - 65535; more > 0 {
		_ = c.framer.WriteWindowUpdate(0, uint32(more))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read()
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
		for _, fault := range c.faults {
			t.Error(fault)
		}
	})
	return c
}

// Close closes the connection. It may be called more than once.
func (c *HTTP2) Close() {
	c.once.Do(func() { close(c.closed) })
	conn := c.Conn
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn() // without a goodbye, which could block
	}
	_ = conn.Close()
}

// Write writes frames, and reports whether that has worked.
func (c *HTTP2) Write(frames func(*http2.Framer) error) bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return frames(c.framer) == nil
}

// Get opens a stream with a request that has no body.
func (c *HTTP2) Get(id uint32, path string, header ...string) bool {
	return c.Request("GET", id, true, path, header...)
}

// Request opens a stream. header is names and values, one after the other.
func (c *HTTP2) Request(method string, id uint32, isWhole bool, path string, header ...string) bool {
	c.mu.Lock()
	c.streams[id] = &HTTP2Stream{granted: c.initial}
	c.mu.Unlock()
	return c.Write(func(w *http2.Framer) error {
		c.block.Reset()
		fields := append([]string{":method", method, ":scheme", "https", ":authority", "localhost", ":path", path}, header...)
		for i := 0; i < len(fields); i += 2 {
			_ = c.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: isWhole, EndHeaders: true})
	})
}

// Reset resets a stream.
func (c *HTTP2) Reset(id uint32) bool {
	return c.Write(func(w *http2.Framer) error { return w.WriteRSTStream(id, http2.ErrCodeCancel) })
}

// Grant grants n bytes more to a stream, or to the connection if its id is 0.
func (c *HTTP2) Grant(id uint32, n int) bool {
	c.mu.Lock()
	if s := c.streams[id]; s != nil {
		s.granted += n
	} else if id == 0 {
		c.granted += n
	}
	c.mu.Unlock()
	return c.Write(func(w *http2.Framer) error { return w.WriteWindowUpdate(id, uint32(n)) })
}

// SetWindow changes the window of all streams. As with nghttp2, the server has to keep to
// the old one until it has acknowledged that.
func (c *HTTP2) SetWindow(n int) bool {
	return c.Write(func(w *http2.Framer) error {
		c.mu.Lock()
		c.asked = append(c.asked, n-c.wanted)
		c.wanted = n
		c.mu.Unlock()
		return w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n)})
	})
}

// changeWindows changes the windows of all streams. The caller holds mu.
func (c *HTTP2) changeWindows(by int) {
	c.initial += by
	for _, s := range c.streams {
		s.granted += by
	}
}

// Stream returns what has come on a stream.
func (c *HTTP2) Stream(id uint32) HTTP2Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		return HTTP2Stream{}
	}
	s.Body = s.body.String()
	return *s
}

// Until waits until a stream has brought something.
func (c *HTTP2) Until(t testing.TB, id uint32, what string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%q on stream %d", what, id), func() bool {
		s := c.Stream(id)
		if bytes.Contains([]byte(s.Body), []byte(what)) {
			return true
		}
		if err := c.Err(); err != nil || s.IsEnded || s.Reset != nil {
			t.Fatalf("stream %d (ended: %t, reset: %v, connection: %v) has no %q: %.500q", id, s.IsEnded, s.Reset, err, what, s.Body)
		}
		return false
	})
}

// Ended waits until a stream has ended, in whatever way, and returns it.
func (c *HTTP2) Ended(t testing.TB, id uint32) (s HTTP2Stream) {
	t.Helper()
	Eventually(t, fmt.Sprintf("stream %d ends", id), func() bool {
		s = c.Stream(id)
		return s.IsEnded || s.Reset != nil || c.Err() != nil
	})
	return s
}

// Frames returns how many frames of a type have come.
func (c *HTTP2) Frames(kind http2.FrameType) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames[kind]
}

// Acks returns how many of the client's SETTINGS the server has acknowledged.
func (c *HTTP2) Acks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks
}

// Left returns how much of the connection's window is left.
func (c *HTTP2) Left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.granted - c.received
}

// GoAway returns the code of the server's GOAWAY frame, or nil.
func (c *HTTP2) GoAway() *http2.ErrCode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goAway
}

// Err returns why nothing more can be read, or nil.
func (c *HTTP2) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// StopReading makes the client read nothing more, after at most one more frame, until
// resume is called. Its buffer should be small: see [HTTP2Windows].
func (c *HTTP2) StopReading() (resume func()) {
	paused := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = paused
	return func() { close(paused) }
}

// awaitReading waits while the client reads nothing.
func (c *HTTP2) awaitReading() {
	c.mu.Lock()
	paused := c.paused
	c.mu.Unlock()
	if paused != nil {
		select {
		case <-paused:
		case <-c.closed:
		}
	}
}

func (c *HTTP2) read() {
	for {
		c.awaitReading()
		f, err := c.framer.ReadFrame()
		if err != nil {
			c.mu.Lock()
			c.err = err
			if _, ok := errors.AsType[http2.ConnectionError](err); ok {
				c.faults = append(c.faults, fmt.Sprintf("the server sends %v: %v", err, c.framer.ErrorDetail()))
			}
			c.mu.Unlock()
			return
		}
		if answer := c.take(f); answer != nil {
			c.Write(answer)
		}
		if f.Header().Type == http2.FrameData {
			time.Sleep(c.delay)
		}
	}
}

// take notes a frame and returns what writes the answer, or nil.
func (c *HTTP2) take(f http2.Frame) (answer func(*http2.Framer) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames[f.Header().Type]++
	s := c.streams[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		if s != nil {
			s.Status = f.PseudoValue("status")
			s.IsEnded = f.StreamEnded()
		}
	case *http2.DataFrame:
		return c.takeData(f, s)
	case *http2.RSTStreamFrame:
		if s != nil && s.Reset == nil {
			code := f.ErrCode
			s.Reset = &code
		}
	case *http2.GoAwayFrame:
		code := f.ErrCode
		c.goAway = &code
	case *http2.SettingsFrame:
		switch {
		case f.IsAck():
		case c.noAcks:
			return nil
		default:
			return (*http2.Framer).WriteSettingsAck
		}
		if c.acks++; len(c.asked) > 0 {
			c.changeWindows(c.asked[0])
			c.asked = c.asked[1:]
		}
	case *http2.PingFrame:
		if data := f.Data; !f.IsAck() {
			return func(w *http2.Framer) error { return w.WritePing(true, data) }
		}
	}
	return nil
}

func (c *HTTP2) takeData(f *http2.DataFrame, s *HTTP2Stream) (answer func(*http2.Framer) error) {
	n := int(f.Length)
	if c.received += n; c.received > c.granted {
		c.faults = append(c.faults, fmt.Sprintf("the server has sent %d bytes, and was granted %d", c.received, c.granted))
	}
	var connection, stream int
	if left := c.granted - c.received; c.half > 0 && left <= c.half {
		connection = 2*c.half - left
		c.granted += connection
	}
	if s != nil {
		if s.Status == "" || s.IsEnded {
			c.faults = append(c.faults, fmt.Sprintf("DATA on stream %d (status %q, ended: %t)", f.StreamID, s.Status, s.IsEnded))
		}
		s.Frames++
		s.body.Write(f.Data())
		s.IsEnded = f.StreamEnded()
		if s.received += n; n > 0 && s.received > s.granted {
			c.faults = append(c.faults, fmt.Sprintf("the server has sent %d bytes on stream %d, and was granted %d", s.received, f.StreamID, s.granted))
		}
		if left := s.granted - s.received; c.streamHalf > 0 && left <= c.streamHalf && !s.IsEnded {
			stream = 2*c.streamHalf - left
			s.granted += stream
		}
	}
	if connection == 0 && stream == 0 {
		return nil
	}
	id := f.StreamID
	return func(w *http2.Framer) error {
		if connection > 0 {
			_ = w.WriteWindowUpdate(0, uint32(connection))
		}
		if stream > 0 {
			return w.WriteWindowUpdate(id, uint32(stream))
		}
		return nil
	}
}
