package h2tap

import (
	"time"

	"golang.org/x/net/http2"
)

// A connection on which only taken streams are left needs no session, and a session
// costs two goroutines, buffers and tables. So it ends after a while, and another one
// begins with the client's next request. All that the client notices is that it gets
// the server's settings once more.

// quietTime is how long a connection with nothing but streams that were taken keeps
// its session, at most twice as long.
const quietTime = 2 * time.Second

// watch ends the session if the client has been quiet for a while. It is called when a
// stream was taken. The caller holds mu.
func (c *Conn) watch() {
	if c.quiet == nil {
		c.quiet = time.AfterFunc(quietTime, c.tire)
	} else {
		c.quiet.Reset(quietTime)
	}
	c.seen = c.frames.Load()
}

// tire ends the session if nothing has come from the client since the last look.
func (c *Conn) tire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == 0 || c.phase.Load() != phaseServed || c.dead {
		return
	}
	if frames := c.frames.Load(); frames != c.seen || !c.mayRest() {
		c.seen = frames
		c.quiet.Reset(quietTime)
		return
	}
	c.phase.Store(phaseTired)
	c.wake()
}

// mayRest reports whether a session is not needed. The caller holds mu.
func (c *Conn) mayRest() bool {
	if len(c.streams) != c.taken || c.leaving || c.owesGoAway || !c.mayGrant || c.account.server < initialWindow ||
		c.queue.isOpen || c.isTorn || c.isSettling {
		return false
	}
	for _, state := range c.streams {
		if state.taken.state != stateOpen {
			return false
		}
	}
	return true
}

// fallAsleep ends the session, unless it is needed. The caller holds rmu.
func (c *Conn) fallAsleep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase.Load() != phaseTired {
		return false
	}
	c.phase.Store(phaseServed)
	if c.frames.Load() != c.seen || !c.mayRest() || c.in.blocks.isLost {
		if !c.in.blocks.isLost {
			c.quiet.Reset(quietTime)
		}
		return false
	}
	c.phase.Store(phaseResting)
	return true
}

// rest waits, after a session has ended, for the client to need another. It reports
// false if there will be none.
func (c *Conn) rest() bool {
	c.rmu.Lock() // the session's reader may still be on its way out
	defer c.rmu.Unlock()
	if c.phase.Load() != phaseResting || c.fault.Load() {
		return false
	}
	c.wmu.Lock()
	isTorn := c.isMidFrame
	c.out = outbound{isAnother: true}
	c.unlock()
	if isTorn {
		c.fault.Store(true)
		return false
	}
	c.in.isAnother = true
	for !c.isOver() {
		opens, err := c.attend()
		if err != nil {
			c.fault.Store(true)
			return false
		}
		if opens {
			return c.awake()
		}
	}
	return false
}

// awake prepares the input and the initial state of the next session. It reports
// false if there will be none after all.
func (c *Conn) awake() bool {
	b := append([]byte(nil), http2.ClientPreface...)
	b = c.settings.append(b)
	c.in.ready = append(b, c.in.ready...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isOver() {
		return false
	}
	c.phase.Store(phaseServed)
	c.account.begin()
	c.isSettling = true // it has to acknowledge those of the tap
	c.stale = c.unacked
	c.watch()
	return true
}
