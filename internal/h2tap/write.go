package h2tap

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// outbound is where the tap is in what the server sends.
type outbound struct {
	frame [controlLength]byte // start of the current frame
	n     int                 // length of frame
	left  int                 // rest of the payload
	drop  bool                // whether the payload is dropped
	block bool                // whether a CONTINUATION frame must follow

	isAnother  bool // whether the session is not the connection's first
	hasSettled bool // whether its answer to the client's settings was dropped
	hasGranted bool // whether it has granted what it begins with

	goAway  bool      // whether the payload is that of GOAWAY
	payload []byte    // start of it
	kept    []byte    // what is passed on of the current write, if that is not all
	ours    []*Stream // streams whose end by the server was dropped in the current write
	lost    []Owner   // of streams that the server has ended all the same
}

// isMidFrame reports whether no other's frame may come next.
func (o *outbound) isMidFrame() bool { return o.n > 0 || o.left > 0 || o.block }

// Write implements [net.Conn] for the server.
func (c *Conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.unlock()
	c.serverBegins()
	err := c.writeServer(p)
	c.serverEnds()
	if err != nil {
		c.fail()
		return 0, err
	}
	return len(p), nil
}

// writeServer writes what the server sends, between what is in the queue. The caller
// holds wmu.
func (c *Conn) writeServer(p []byte) error {
	if n := c.out.left; c.isMidFrame && n < len(p) && c.out.n == 0 && c.hasQueue() {
		// the server may acknowledge a smaller window next, and the queue may use
		// the one before
		if err := c.writeServer(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	if !c.isMidFrame {
		if err := c.writeQueue(); err != nil {
			return err
		}
	}
	p = c.filter(p)
	c.isMidFrame = c.out.isMidFrame()
	if len(p) > 0 {
		if _, err := c.Conn.Write(p); err != nil {
			return err
		}
	}
	if !c.isMidFrame {
		return c.writeQueue()
	}
	return nil
}

// serverBegins lets streams that wait for room leave their frames in the queue.
func (c *Conn) serverBegins() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.isOpen = true
	c.tell(&c.forRoom)
}

// serverEnds closes the queue, and hands streams over that the server has ended.
func (c *Conn) serverEnds() {
	c.outlet.Forget()
	c.out.kept = nil
	defer func() {
		tellGone(c.out.lost)
		c.out.lost = nil
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.isOpen, c.isTorn = false, c.isMidFrame
	if len(c.queue.bytes) > 0 {
		c.mustFlush.Store(true) // a stream has left frames after the last look
	}
	for i, s := range c.out.ours {
		c.out.ours[i] = nil
		s.serverHasEnded()
	}
	c.out.ours = c.out.ours[:0]
}

// filter returns what of p the client gets. The caller holds wmu.
func (c *Conn) filter(p []byte) []byte {
	out, all := &c.out, p
	out.kept = out.kept[:0]
	intact := out.n == 0 // whether everything so far is passed on as it is
	// differs is called before p is consumed where it is not passed on as it is
	differs := func() {
		if intact {
			intact = false
			out.kept = append(out.kept, all[:len(all)-len(p)]...)
		}
	}
	for len(p) > 0 {
		if out.left > 0 {
			n := min(out.left, len(p))
			c.readGoAway(p[:n])
			if out.drop {
				differs()
			} else if !intact {
				out.kept = append(out.kept, p[:n]...)
			}
			out.left -= n
			p = p[n:]
			continue
		}
		if out.n > 0 || len(p) < headerLength || isControl(parseHeader(p)) {
			differs() // not known yet whether it is passed on
		}
		n := copy(out.frame[out.n:out.want()], p)
		if out.n += n; out.n < out.want() {
			p = p[n:]
			continue
		}
		h := parseHeader(out.frame[:])
		flags := h.flags
		if out.drop = !c.serverSends(&h); out.drop || h.flags != flags {
			differs()
		}
		p = p[n:]
		if !intact && !out.drop {
			out.kept = append(h.append(out.kept), out.frame[headerLength:out.n]...)
		}
		out.left = h.length - (out.n - headerLength)
		out.block = h.opensBlock()
		out.n = 0
	}
	if intact {
		return all
	}
	return out.kept
}

// want returns how much of the frame must be known before it is passed on.
func (o *outbound) want() int {
	if o.n >= headerLength && isControl(parseHeader(o.frame[:])) {
		return controlLength
	}
	return headerLength
}

// isControl reports whether a frame grants window of the connection or resets a stream.
func isControl(h header) bool {
	return h.length == 4 && (h.kind == http2.FrameWindowUpdate && h.stream == 0 || h.kind == http2.FrameRSTStream)
}

// serverSends notes a frame of the server. It returns false if the client must not
// get it, and may change its flags.
func (c *Conn) serverSends(h *header) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch h.kind {
	case http2.FrameGoAway:
		c.leaving = true
		if c.phase.Load() == phaseResting {
			c.goAway()
		}
		c.out.goAway, c.out.payload = h.length >= goAwayLength, nil
		return true
	case http2.FrameWindowUpdate:
		if isControl(*h) {
			return c.serverGrants()
		}
	case http2.FramePushPromise:
		c.mayGrant = false // the streams that the server opens are not counted
	case http2.FrameSettings:
		return c.serverSettles(h.flags.Has(http2.FlagSettingsAck))
	case http2.FrameData:
		c.account.serverSent(h.length)
		if c.account.owed > 0 {
			c.wake()
		}
	default:
	}
	state, ok := c.streams[h.stream]
	if !ok {
		return true
	}
	if h.kind == http2.FrameData {
		if state.taken != nil {
			state.taken.window -= h.length
		} else {
			state.window -= h.length
			c.streams[h.stream] = state
		}
	}
	if state.refused && h.kind == http2.FrameRSTStream && isControl(*h) {
		binary.BigEndian.PutUint32(c.out.frame[headerLength:], uint32(http2.ErrCodeRefusedStream))
	}
	switch {
	case !h.endsStream():
		return true
	case state.taken == nil || h.kind == http2.FrameHeaders || state.taken.state == stateEnded:
		// trailers would have to be dropped, but belong to the header
		// compression's state
		if s := state.taken; s != nil {
			s.state = stateEnded
			c.out.lost = append(c.out.lost, s.owner)
		}
		c.forget(h.stream)
		return true
	}
	c.out.ours = append(c.out.ours, state.taken)
	if h.kind == http2.FrameData && h.length > 0 {
		h.flags &^= http2.FlagDataEndStream
		return true
	}
	return false
}

// serverGrants counts what the server lets the client send. A session begins with a
// grant, because it believes in the window that all connections begin with: the client
// is granted only what it still lacks. It returns false if that is nothing. The caller
// holds mu.
func (c *Conn) serverGrants() bool {
	out := &c.out
	value := out.frame[headerLength:controlLength]
	n := int(binary.BigEndian.Uint32(value) & maxWindow)
	if !out.hasGranted {
		out.hasGranted = true
		if out.isAnother {
			n = initialWindow + n - c.upload
			binary.BigEndian.PutUint32(value, uint32(max(0, n)))
		} else {
			c.mayGrant = c.upload == initialWindow
		}
	}
	c.upload += max(0, n)
	return n > 0
}

// readGoAway reads a part of a frame's payload, which says whether a GOAWAY frame
// means an error.
func (c *Conn) readGoAway(p []byte) {
	out := &c.out
	if !out.goAway {
		return
	}
	out.payload = append(out.payload, p[:min(len(p), goAwayLength-len(out.payload))]...)
	if len(out.payload) == goAwayLength {
		out.goAway = false
		if http2.ErrCode(binary.BigEndian.Uint32(out.payload[4:])) != http2.ErrCodeNo {
			c.fault.Store(true)
		}
	}
}
