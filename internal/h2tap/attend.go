package h2tap

import (
	"errors"
	"net"

	"golang.org/x/net/http2"
)

// Without a session the tap itself answers what clients ask of a connection.

// maxSettings is the longest SETTINGS frame, in bytes: x/net takes 100 settings.
const maxSettings = 100 * 6

var errSettings = errors.New("a SETTINGS frame is too long")

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
		if in.head.length > maxSettings {
			return false, errSettings
		}
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
	isAck := false
	switch h := in.head; {
	case len(in.ping) == pingLength:
		reply = append(header{length: pingLength, kind: http2.FramePing, flags: http2.FlagPingAck}.append(nil), in.ping...)
	case in.isSettings():
		isAck = true
		reply = header{kind: http2.FrameSettings, flags: http2.FlagSettingsAck}.append(nil)
	case h.kind == http2.FrameGoAway:
		c.mu.Lock()
		c.goAway()
		c.mu.Unlock()
	}
	in.ping = nil
	in.head = header{}
	if reply == nil {
		return nil
	}
	c.mu.Lock()
	isFull := len(c.queue.bytes) > maxQueue
	c.queue.bytes = append(c.queue.bytes, reply...)
	if isAck {
		c.settle()
	}
	c.mu.Unlock()
	if isFull {
		return net.ErrClosed // the client asks much and reads nothing
	}
	c.flushSoon()
	return nil
}
