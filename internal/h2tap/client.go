package h2tap

import (
	"golang.org/x/net/http2"
)

// What the tap learns from the frames that a client sends.

// clientOpens notes that the client has sent HEADERS. It reports false if they neither
// open a stream nor belong to one that the server has.
func (c *Conn) clientOpens(h header) bool {
	c.mu.Lock()
	state, ok := c.streams[h.stream]
	switch {
	case ok && state.taken != nil:
		c.mu.Unlock()
		c.clientEnds(h.stream)
		return false
	case ok:
		state.finished = h.endsStream()
		c.streams[h.stream] = state
	case h.stream > c.newest && !c.leaving && !c.isOver():
		c.newest = h.stream
		c.streams[h.stream] = streamState{window: c.initial, finished: h.endsStream()}
		if c.idle != nil && len(c.streams) == 1 {
			c.idle.Stop()
		}
	default:
		ok = h.stream > c.newest
		c.mu.Unlock()
		return ok
	}
	c.mu.Unlock()
	return true
}

// clientSends notes that the client has sent DATA.
func (c *Conn) clientSends(h header) {
	c.mu.Lock()
	c.upload -= h.length
	c.mu.Unlock()
	c.clientEnds(h.stream) // unless the stream was not taken
}

// clientResets notes that the client has reset a stream, and reports whether it is
// one that the server knows nothing of.
func (c *Conn) clientResets(id uint32) (taken bool) {
	if c.clientEnds(id) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(id)
	return false
}

// clientEnds ends a stream that was taken, because the client has reset it or sent a
// frame that is not allowed on it. It does nothing to others.
func (c *Conn) clientEnds(id uint32) (taken bool) {
	c.mu.Lock()
	s := c.streams[id].taken
	if s == nil {
		c.mu.Unlock()
		return false
	}
	owner := s.owner
	s.lose()
	c.mu.Unlock()
	if owner != nil {
		owner.Gone()
	}
	return true
}

// clientGrants notes a WINDOW_UPDATE, and reports whether the server must not see it.
func (c *Conn) clientGrants(id uint32, n int) (hide bool) {
	c.mu.Lock()
	if id == 0 {
		ok := n > 0 && c.account.grant(n)
		if ok && c.account.reserve >= leastData {
			c.tell(&c.forRoom)
		}
		c.mu.Unlock()
		if !ok {
			// the server must end the session, but it may not find more than
			// maxWindow in what it knows of; it never takes 0
			clear(c.in.ready[headerLength:])
		}
		return ok
	}
	state, ok := c.streams[id]
	s := state.taken
	if ok && s == nil {
		state.window += n
		c.streams[id] = state
	}
	if s == nil {
		c.mu.Unlock()
		return false
	}
	s.window += n
	isFault := n == 0 || s.window > maxWindow
	if !isFault && s.wantsWindow {
		s.wantsWindow = false
		s.tell()
	}
	c.mu.Unlock()
	if isFault && c.clientEnds(id) {
		code := http2.ErrCodeFlowControl
		if n == 0 {
			code = http2.ErrCodeProtocol
		}
		c.mu.Lock()
		c.queue.bytes = appendControl(c.queue.bytes, http2.FrameRSTStream, id, uint32(code))
		c.mu.Unlock()
		c.flushSoon()
	}
	return true
}
