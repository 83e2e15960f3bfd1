package parking

import (
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// http1 is a stream that has its connection to itself.
type http1 struct {
	stream Stream
	socket socket.Socket
	input  atomic.Uint32
	isGone atomic.Bool // whether the peer has closed the connection
}

// How input from the peer of a TLS connection is handled.
const (
	inputIdle  = iota
	inputRead  // a goroutine reads
	inputAgain // a goroutine reads, and more input came meanwhile
)

// ParkHTTP1 makes the sender write for a subscriber from now on, to a socket that
// belongs to the stream alone. chunked is whether the body is sent in chunks. ended
// is called once when the stream has ended, by any goroutine; it may be nil.
func (s *Sender) ParkHTTP1(sub *hub.Subscriber, to socket.Socket, chunked bool, ended func(*hub.Subscriber)) {
	c := &http1{socket: to}
	s.park(&c.stream, c, sub, chunked, ended)
	if err := s.lot.poller.Add(&c.socket, c); err != nil {
		c.stream.Abort()
	}
	s.parked(&c.stream)
}

func (c *http1) MayBlock() bool                            { return c.socket.MayBlock() }
func (c *http1) Write(p []byte) (int, error)               { return c.socket.Write(p) }
func (c *http1) Touch()                                    { c.socket.Touch() }
func (c *http1) Abort()                                    { c.socket.Abort() }
func (c *http1) Unacked() (since time.Duration, owed bool) { return c.socket.Unacked() }

// End implements connection.
func (c *http1) End(whole bool) {
	c.stream.sender.lot.poller.Remove(&c.socket)
	if whole {
		_, _ = c.socket.Write(c.stream.sub.BodyEnd()) // if there is no room, the end of the connection has to do
	}
	if c.isGone.Load() {
		c.socket.Drop()
	} else {
		c.socket.Close()
	}
}

// Writable implements [socket.Waiter].
func (c *http1) Writable() { c.stream.Writable() }

// Gone implements [socket.Waiter].
func (c *http1) Gone() {
	c.isGone.Store(true)
	c.stream.Gone()
}

// Readable implements [socket.Waiter].
func (c *http1) Readable() {
	for {
		switch c.input.Load() {
		case inputIdle:
			if c.input.CompareAndSwap(inputIdle, inputRead) {
				go c.read()
				return
			}
		case inputRead:
			if c.input.CompareAndSwap(inputRead, inputAgain) {
				return
			}
		default:
			return
		}
	}
}

// read reads and discards what the peer of a TLS connection sends. TLS itself
// handles new keys and a close.
func (c *http1) read() {
	defer contain.Panic("reading from a stream's connection", c.stream.fail)
	for again := true; again; again = !c.input.CompareAndSwap(inputRead, inputIdle) {
		c.input.Store(inputRead)
		if err := c.socket.Read(); err != nil {
			c.stream.Gone()
			return // input stays in inputRead, so that nobody reads again
		}
	}
}
