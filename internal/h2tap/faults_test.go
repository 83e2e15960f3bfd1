package h2tap

import (
	"testing"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// A client that does with a stream what it may not loses that one, and is told.
func TestFaultsOfAClientEndItsStream(t *testing.T) {
	s := serve(t, nil, nil)
	c := chattest.DialHTTP2(t, s.addr, chattest.LargeWindows)
	other := s.stream(t, c, 1)
	faults := []struct {
		name string
		do   func(w *http2.Framer, id uint32) error
	}{
		{"WINDOW_UPDATE of 0", func(w *http2.Framer, id uint32) error { return w.WriteWindowUpdate(id, 0) }},
		{"a window of more than 2^31-1", func(w *http2.Framer, id uint32) error { return w.WriteWindowUpdate(id, 1<<31-1) }},
		{"DATA", func(w *http2.Framer, id uint32) error { return w.WriteData(id, false, []byte("x")) }},
		{"DATA that ends", func(w *http2.Framer, id uint32) error { return w.WriteData(id, true, nil) }},
	}
	for i, fault := range faults {
		id := uint32(2*i + 3)
		o := s.stream(t, c, id)
		o.write(t, []byte("x")) // the server has ended it
		c.Write(func(w *http2.Framer) error { return fault.do(w, id) })
		<-o.gone
		if end := c.Ended(t, id); end.Reset == nil {
			t.Errorf("after %s the stream ends with %+v, %v", fault.name, end, c.Err())
		}
		other.write(t, []byte(fault.name))
		c.Until(t, 1, fault.name)
	}
}

// A client must not grant a connection more than 2^31-1, however it is shared.
func TestAConnectionIsGrantedTooMuch(t *testing.T) {
	s := serve(t, nil, nil)
	c := chattest.DialHTTP2(t, s.addr, chattest.HTTP2Windows{Connection: 1 << 30, Stream: 1 << 20})
	o := s.stream(t, c, 1)
	c.Grant(0, 1<<30+1<<20)
	<-o.gone
	chattest.Eventually(t, "the connection is closed", func() bool { return c.Err() != nil })
	if code := c.GoAway(); code == nil || *code == http2.ErrCodeNo {
		t.Errorf("the client is told %v", code)
	}
}
