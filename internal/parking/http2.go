package parking

import (
	"github.com/sse-chat/caddy-sse-chat/internal/h2tap"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// http2 is a stream that shares its connection with others.
type http2 struct {
	stream Stream
	*h2tap.Stream
}

// ParkHTTP2 makes the sender write for a subscriber from now on, to a stream that was
// taken from its server. ended is called once when the stream has ended, by
// any goroutine; it may be nil.
func (s *Sender) ParkHTTP2(sub *hub.Subscriber, to *h2tap.Stream, ended func(*hub.Subscriber)) {
	c := &http2{Stream: to}
	s.park(&c.stream, c, sub, false, ended)
	to.Own(&c.stream)
	s.parked(&c.stream)
}

// MayBlock implements connection.
func (c *http2) MayBlock() bool { return true }
