package h2tap

import (
	"net"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
)

// maxQueue is how many bytes of streams may wait for the server's write to end.
const maxQueue = 256 << 10

// queue is frames that are to be written before any other.
type queue struct {
	bytes   []byte
	streams []*Stream // those whose DATA is in bytes
	isOpen  bool      // whether the server writes, and the queue after that
}

// hasQueue reports whether anything is in the queue.
func (c *Conn) hasQueue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue.bytes) > 0
}

// writeQueue writes what is in the queue and waits until that is done. What comes
// meanwhile has its turn after the server's next frame. The caller holds wmu.
func (c *Conn) writeQueue() error {
	c.mu.Lock()
	bytes, dead := c.queue.bytes, c.dead
	c.queue.bytes = nil
	c.queue.sent()
	c.mu.Unlock()
	if dead {
		return net.ErrClosed
	}
	if len(bytes) == 0 {
		return nil
	}
	_, err := c.Conn.Write(bytes)
	return err
}

// unlock unlocks wmu. Before that it writes the queue, as far as there is room, if
// [Conn.flushSoon] was called meanwhile.
func (c *Conn) unlock() {
	for {
		if c.mustFlush.Load() && c.mustFlush.Swap(false) {
			c.flush()
		}
		c.wmu.Unlock()
		if c.lockAsked.Load() && c.lockAsked.Swap(false) {
			c.mu.Lock()
			c.tell(&c.forLock)
			c.mu.Unlock()
		}
		if !c.mustFlush.Load() || !c.wmu.TryLock() {
			return
		}
	}
}

// flushSoon writes the queue, or leaves that to whoever writes now. It must be called
// after anything was put into the queue, except while that is open.
func (c *Conn) flushSoon() {
	c.mustFlush.Store(true)
	if c.wmu.TryLock() {
		c.unlock()
	}
}

// flush writes what waits in the queue as far as there is room. The caller holds wmu.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue.bytes) > 0 && !c.dead && !c.isMidFrame && c.hasRoom() {
		n := c.outlet.Room(len(c.queue.bytes))
		if n == 0 {
			c.awaitRoom()
			return
		}
		part := c.queue.bytes[:n]
		c.mu.Unlock()
		_, err := c.Conn.Write(part)
		if err != nil {
			c.fail()
		}
		c.mu.Lock()
		c.queue.bytes = c.queue.bytes[n:]
	}
	if len(c.queue.bytes) == 0 && c.queue.bytes != nil {
		c.queue.bytes = nil
		c.queue.sent()
		c.tell(&c.forRoom)
	}
}

// sent tells the streams whose frames were in the queue. The caller holds the
// connection's mu.
func (q *queue) sent() {
	for i, s := range q.streams {
		q.streams[i] = nil
		s.isQueued = false
		s.tell()
	}
	q.streams = q.streams[:0]
}

// hasRoom reports whether the connection may have room. The caller holds mu.
func (c *Conn) hasRoom() bool { return c.hasOutlet && !c.isFull }

// awaitRoom makes a goroutine wait for room and then tell who waits for that. The
// caller holds mu.
func (c *Conn) awaitRoom() {
	c.isFull = true
	go func() {
		defer contain.Panic("waiting for room in a connection", c.fail)
		c.outlet.Await()
		c.mu.Lock()
		c.isFull = false
		c.tell(&c.forRoom)
		c.mu.Unlock()
		c.flushSoon()
	}()
}

// tell tells the streams of a list. The caller holds mu.
func (c *Conn) tell(list *[]*Stream) {
	streams := *list
	*list = nil
	for _, s := range streams {
		s.isWaiting = false
		s.tell()
	}
}
