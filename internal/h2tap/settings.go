package h2tap

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// Each side acknowledges the other's SETTINGS frames one by one. x/net acknowledges those
// that come at once with a single frame, so it gets them one after the other. And a
// session must not read acknowledgements of settings that an earlier one has sent,
// which come late if the client has a slow network.

// awaitSettled waits until the session has acknowledged the settings that it was given
// last. It is called before it is given others. The caller holds rmu.
func (c *Conn) awaitSettled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.isSettling && !c.dead && c.phase.Load() < phaseResting {
		c.settled.Wait()
	}
	c.isSettling = true
}

// settle notes that the client's settings are acknowledged. The caller holds mu.
func (c *Conn) settle() {
	c.isSettling = false
	c.settled.Broadcast()
	c.setWindow(c.asked)
}

// serverSettles notes a SETTINGS frame of the server. It returns false if the client must
// not get it, because it acknowledges the settings that a session has got from the tap.
// The caller holds mu.
func (c *Conn) serverSettles(isAck bool) bool {
	if !isAck {
		c.unacked++
		return true
	}
	isForTap := c.out.isAnother && !c.out.hasSettled
	c.out.hasSettled = true
	c.settle()
	return !isForTap
}

// clientSettles notes that the client has acknowledged settings, and reports whether
// those were of an earlier session.
func (c *Conn) clientSettles() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unacked = max(0, c.unacked-1)
	if c.stale == 0 {
		return false
	}
	c.stale--
	return true
}

// clientSetsWindow notes the window that streams are to have. A smaller one is kept to at
// once, a larger one is used once it was acknowledged: some clients refuse what comes
// before that.
func (c *Conn) clientSetsWindow(n int) {
	if n > maxWindow {
		return // the server closes the connection
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = n
	c.setWindow(min(n, c.initial))
}

// setWindow changes the window that all new streams have, and that of the open ones with
// it. The caller holds mu.
func (c *Conn) setWindow(n int) {
	by := n - c.initial
	if by == 0 {
		return
	}
	c.initial = n
	for id, state := range c.streams {
		if s := state.taken; s != nil {
			if s.window += by; by > 0 && s.wantsWindow {
				s.wantsWindow = false
				s.tell()
			}
		} else {
			state.window += by
			c.streams[id] = state
		}
	}
}

// settings are the last values of a client's settings.
type settings struct {
	known  uint32
	values [maxSetting + 1]uint32
}

// maxSetting is the last setting that the server may heed.
const maxSetting = http2.SettingNoRFC7540Priorities

func (s *settings) set(id http2.SettingID, value uint32) {
	if id <= maxSetting {
		s.known |= 1 << id
		s.values[id] = value
	}
}

// append appends them as a SETTINGS frame.
func (s *settings) append(b []byte) []byte {
	begin := len(b)
	b = header{kind: http2.FrameSettings}.append(b)
	for id, value := range s.values {
		if s.known&(1<<id) != 0 {
			b = binary.BigEndian.AppendUint16(b, uint16(id))
			b = binary.BigEndian.AppendUint32(b, value)
		}
	}
	b[begin+2] = byte(len(b) - begin - headerLength)
	return b
}
