package h2tap

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/http"
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

// goAway has the session end, and tells the client. The connection then lingers.
func (c *Conn) goAway() {
	c.mu.Lock()
	if c.leaving || c.dead {
		c.mu.Unlock()
		return
	}
	c.leaving, c.hasQuit = true, true
	c.queue.bytes = appendGoAway(c.queue.bytes, c.newest)
	c.over.Store(true)
	c.wake()
	c.mu.Unlock()
	c.flushSoon()
}

// quit ends the session of a connection that has carried no stream for a while.
func (c *Conn) quit() {
	c.mu.Lock()
	isIdle := len(c.streams) == 0
	c.mu.Unlock()
	if isIdle {
		c.goAway()
	}
}

// Close implements [net.Conn] for the server, which calls it when its session is
// over. The connection is closed by finish.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leaving && !c.isAsleep.Load() {
		c.fault.Store(true)
	}
	c.over.Store(true)
	c.wake()
	return nil
}

// finish waits until the last stream has ended, after the server's session has, and
// closes the connection.
func (c *Conn) finish(server *http.Server) {
	_ = c.Close()
	c.mu.Lock()
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
func (c *Conn) linger(server *http.Server) {
	c.dropUnfinished()
	if !c.isBusy() && !c.hasQuit {
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

// dropUnfinished ends the streams that the server has not ended, and no longer will.
func (c *Conn) dropUnfinished() {
	c.mu.Lock()
	var ids []uint32
	for id, state := range c.streams {
		if s := state.taken; s == nil || s.state != stateOpen {
			ids = append(ids, id)
		}
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.clientEnds(id)
		c.mu.Lock()
		c.forget(id)
		c.mu.Unlock()
	}
}

// sayGoodbye writes what is left to write, and TLS's own goodbye.
func (c *Conn) sayGoodbye() {
	_ = c.SetWriteDeadline(time.Now().Add(lastWrite))
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.writeQueue() == nil {
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

// attend reads from a connection without a session: one frame, or a part of one, or
// nothing if it was woken. It answers what can be answered without a session, and
// reports whether the client has begun a stream, whose frames are in c.in.ready then.
// The caller holds rmu.
func (c *Conn) attend() (opens bool, err error) {
	in := &c.in
	var buf [64]byte
	n := 0
	switch {
	case in.left > 0 && in.isBlock():
		err = c.readBlock()
	case in.left > 0:
		n, err = c.receive(buf[:min(len(buf), in.left)])
		in.left -= n
	default:
		err = c.readHeader()
	}
	if err != nil {
		return false, err
	}
	if in.isSettings() {
		c.readSettings(buf[:n])
	}
	switch h := in.head; {
	case in.isBlock():
		return len(in.ready) > 0, nil
	case h.kind == http2.FramePing && !h.flags.Has(http2.FlagPingAck) && h.length == pingLength:
		in.ping = append(in.ping, buf[:n]...)
	}
	isBegin := len(in.ready) > 0
	in.ready = nil
	if in.left > 0 || !isBegin && n == 0 {
		return false, nil
	}
	return false, c.answer()
}

// answer answers the frame that was read.
func (c *Conn) answer() error {
	in := &c.in
	var reply []byte
	switch h := in.head; {
	case len(in.ping) == pingLength:
		reply = append(header{length: pingLength, kind: http2.FramePing, flags: http2.FlagPingAck}.append(nil), in.ping...)
	case in.isSettings():
		reply = header{kind: http2.FrameSettings, flags: http2.FlagSettingsAck}.append(nil)
	case h.kind == http2.FrameGoAway:
		c.goAway()
	}
	in.ping = nil
	in.head = header{}
	if reply == nil {
		return nil
	}
	c.mu.Lock()
	isFull := len(c.queue.bytes) > maxQueue
	c.queue.bytes = append(c.queue.bytes, reply...)
	c.mu.Unlock()
	if isFull {
		return net.ErrClosed // the client asks much and reads nothing
	}
	c.flushSoon()
	return nil
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
