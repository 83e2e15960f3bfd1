package h2tap

import (
	"testing"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// setSettings is a frame of a client that changes nothing.
func setSettings(w *http2.Framer) error {
	return w.WriteSettings(http2.Setting{ID: http2.SettingEnablePush})
}

// A client may acknowledge the settings of a session when that is over and another one
// has begun.
func TestLateAcksOfAClient(t *testing.T) {
	s := serve(t, nil, echo)
	windows := chattest.LargeWindows
	windows.NoAcks = true
	c := chattest.DialHTTP2(t, s.addr, windows)
	stream := s.stream(t, c, 1)
	const sessions = 5
	id := uint32(3)
	ask := func() {
		t.Helper()
		c.Get(id, "/")
		if end := c.Ended(t, id); !end.IsEnded {
			t.Fatalf("the request %d ends with %+v, %v", id, end.Reset, c.Err())
		}
		id += 2
	}
	for i := range sessions - 1 {
		if i == 2 {
			c.Write((*http2.Framer).WriteSettingsAck) // while a session sleeps
		}
		sleep(t, stream.conn)
		ask()
	}
	for range sessions - 1 {
		c.Write((*http2.Framer).WriteSettingsAck)
	}
	ask()
	sleep(t, stream.conn)
	ask()
	// one more is a fault
	c.Write((*http2.Framer).WriteSettingsAck)
	c.Write((*http2.Framer).WriteSettingsAck)
	chattest.Eventually(t, "the connection ends", func() bool { return c.Err() != nil })
}

// Each frame of a client's settings is acknowledged once, also if several come at once,
// if one comes with the request that wakes a session, and while the session cannot write.
func TestEachFrameOfSettingsIsAcknowledged(t *testing.T) {
	s := serve(t, nil, echo)
	c := chattest.DialHTTP2(t, s.addr, chattest.LargeWindows)
	stream := s.stream(t, c, 1)
	conn, want := stream.conn, 1
	acknowledged := func() {
		t.Helper()
		chattest.Eventually(t, "settings are acknowledged", func() bool { return c.Acks() >= want || c.Err() != nil })
	}
	acknowledged()
	for i := range uint32(20) {
		if i%2 == 0 {
			sleep(t, conn)
		}
		id := 3 + 2*i
		before := conn.frames.Load()
		conn.wmu.Lock() // as if the client read nothing
		c.Get(id, "/")
		for range 3 {
			c.Write(setSettings)
			want++
		}
		chattest.Eventually(t, "frames are read", func() bool { return conn.frames.Load() > before+1 })
		conn.unlock()
		if end := c.Ended(t, id); !end.IsEnded {
			t.Fatalf("the request ends with %+v, %v", end, c.Err())
		}
		acknowledged()
		c.Write(func(w *http2.Framer) error { return w.WritePing(false, [8]byte{1}) })
		chattest.Eventually(t, "all is read", func() bool { return c.Frames(http2.FramePing) > int(i) || c.Err() != nil })
		if got := c.Acks(); got != want || c.Err() != nil {
			t.Fatalf("%d frames are acknowledged, want %d; %v", got, want, c.Err())
		}
	}
}

// A larger window is used once it was acknowledged: nghttp2 refuses what comes before
// that.
func TestALargerWindowIsAcknowledgedFirst(t *testing.T) {
	for _, isAsleep := range []bool{false, true} {
		s := serve(t, nil, nil)
		c := chattest.DialHTTP2(t, s.addr, chattest.HTTP2Windows{Connection: 1 << 20, Stream: 1000})
		stream := s.stream(t, c, 1)
		want := counted(50_000)
		written := make(chan bool)
		go func() { written <- stream.write(t, []byte(want)) }()
		for n := 1000; n < 60_000; n += 2000 {
			if isAsleep {
				sleep(t, stream.conn)
			}
			acks := c.Acks()
			c.SetWindow(n)
			chattest.Eventually(t, "settings are acknowledged", func() bool { return c.Acks() > acks })
		}
		if !<-written {
			t.Error("the stream ends")
		}
		c.Until(t, 1, want)
	}
}
