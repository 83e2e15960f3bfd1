package h2tap

import (
	"math/rand/v2"
	"time"

	"golang.org/x/net/http2"
)

const (
	// lingering is how long streams go on, and up to half as long again, on a
	// connection whose session has ended.
	lingering = 2 * time.Minute
	// lingerStep is the time between the ends of such streams.
	lingerStep = 500 * time.Millisecond
	// lastWrite is how long the last frames of a connection may take.
	lastWrite = time.Second
)

// shutDown ends the session once its requests are answered. It does not block.
func (c *Conn) shutDown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase.Load() == phaseResting {
		c.goAway()
		return
	}
	// x/net ends a session gracefully if the client sends GOAWAY
	c.owesGoAway = true
	c.wake()
}

// goAway ends the session and sends GOAWAY, or has it sent soon. The connection then
// lingers. The caller holds mu.
func (c *Conn) goAway() {
	if !c.leaving {
		c.leaving, c.hasQuit = true, true
		c.queue.bytes = appendGoAway(c.queue.bytes, c.newest)
	}
	c.phase.Store(phaseOver)
	c.wake() // the reader flushes the queue
}

// quit ends the session of a connection that has carried no stream for a while.
func (c *Conn) quit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.isOver() || c.dead || len(c.streams) > 0:
	case c.queue.isOpen || c.isTorn: // the last answer is still being written
		c.idle.Reset(c.idleTimeout)
	default:
		c.goAway()
	}
}

// Close implements [net.Conn] for the server, which calls it when its session is
// over. The connection is closed by finish.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase.Load() < phaseResting {
		if !c.leaving {
			c.fault.Store(true)
		}
		c.phase.Store(phaseOver)
	}
	c.wake()
	return nil
}

// finish waits until the last stream has ended, after the server's session has, and
// closes the connection.
func (c *Conn) finish(server *conns) {
	c.mu.Lock()
	c.phase.Store(phaseOver)
	for _, timer := range []*time.Timer{c.idle, c.quiet} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.mu.Unlock()
	c.rmu.Lock() // the session's reader may still be on its way out
	defer c.rmu.Unlock()
	if !c.fault.Load() {
		c.linger(server)
	}
	c.fail()
	_ = c.Conn.Close()
}

// linger answers what a client may ask of a connection without a session, until the
// last stream has ended, and then waits a moment for the client to close it. The
// caller holds rmu.
func (c *Conn) linger(server *conns) {
	c.mu.Lock()
	isTorn := c.isTorn || c.queue.isOpen // a write that goes on is as good as torn
	c.mu.Unlock()
	if isTorn {
		return
	}
	c.dropUnfinished()
	c.flushSoon()
	if !c.isBusy() && !c.hasQuit {
		c.sayGoodbye()
		return
	}
	timer := time.AfterFunc(lingering+rand.N(lingering/2), c.askBack)
	defer timer.Stop()
	defer joinCrowd(c.LocalAddr().String(), server, timer)()
	for c.isBusy() {
		if _, err := c.attend(); err != nil {
			return
		}
	}
	c.sayGoodbye()
	var err error
	for _ = c.SetReadDeadline(time.Now().Add(lastWrite)); err == nil; {
		_, err = c.attend()
	}
}

// isBusy reports whether a stream is left.
func (c *Conn) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken > 0 && !c.dead
}

// dropUnfinished resets the streams that the server has not ended, and no longer will.
// Those that no session has seen may be sent again.
func (c *Conn) dropUnfinished() {
	c.mu.Lock()
	var lost []Owner
	for id, state := range c.streams {
		s, code := state.taken, http2.ErrCodeRefusedStream
		switch {
		case s != nil && s.state == stateOpen:
			continue
		case s != nil:
			code = http2.ErrCodeInternal
			lost = append(lost, s.owner)
			s.lose()
		}
		c.queue.bytes = appendControl(c.queue.bytes, http2.FrameRSTStream, id, uint32(code))
		c.forget(id)
	}
	c.mu.Unlock()
	tellGone(lost)
}

// sayGoodbye writes what is left to write, and TLS's own goodbye.
func (c *Conn) sayGoodbye() {
	_ = c.SetWriteDeadline(time.Now().Add(lastWrite))
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if !c.isMidFrame && c.writeQueue() == nil {
		_ = c.CloseWrite()
	}
}

// askBack asks the owners of the streams that are left to end them, one after the
// other.
func (c *Conn) askBack() {
	c.mu.Lock()
	owners := c.owners()
	c.mu.Unlock()
	for _, owner := range owners {
		owner.GoAway()
		time.Sleep(lingerStep)
	}
}
