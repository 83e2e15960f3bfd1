package h2tap

import (
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// Stream is a stream that was taken from its server, and is open from the client's
// point of view. One goroutine at a time may call Write and End.
type Stream struct {
	conn *Conn
	id   uint32

	// all below is guarded by conn.mu
	owner       Owner // nil until Own
	state       state
	window      int       // how many bytes the client takes
	why         obstacle  // why the last write was short
	since       time.Time // when the window became too small
	wantsWindow bool      // whether the owner is to be told of a larger window
	isQueued    bool      // whether DATA waits in the queue
	isWaiting   bool      // whether it is in a list of the connection
}

// Owner is told what happens to a stream. Its methods must neither block nor call the
// stream, except for Gone, which may call Abort. Calls may come after [Stream.End].
type Owner interface {
	// Writable is called when there may be room again after a short write. There
	// may be none after all.
	Writable()
	// Gone is called when the client has ended the stream, or the connection has
	// ended.
	Gone()
	// GoAway is called when the stream should end soon.
	GoAway()
}

// state is the state of a stream. It never goes back to an earlier one.
type state int

const (
	stateTaken state = iota // the server has not ended it yet
	stateOpen               // the stream's frames are all ours
	stateEnded
)

// obstacle is why a write was short.
type obstacle int

const (
	obstacleNone       obstacle = iota
	obstacleWindow              // the client has granted too little
	obstacleConnection          // the connection takes nothing
)

// Small writes are not worth a frame, so a stream waits for a window of at least
// leastData bytes, but not longer than windowPatience.
const (
	leastData      = 1 << 10
	windowPatience = 250 * time.Millisecond
)

// Own makes an owner responsible for the stream.
func (s *Stream) Own(owner Owner) {
	c := s.conn
	c.mu.Lock()
	s.owner = owner
	gone := s.state == stateEnded || c.dead
	c.mu.Unlock()
	if gone {
		owner.Gone()
	}
}

// frames are buffers for one frame each.
var frames = sync.Pool{New: func() any { return new([headerLength + maxData]byte) }}

// Write writes what the client and the connection take at once, and returns how many
// bytes that was. If it is less than all, [Owner].Writable is called once there is
// room. With little room, Write may write it only at a later call, which the owner
// should make after windowPatience. After an error the stream can only be ended. Write may block if the kernel
// takes less than it promised; Abort ends that.
func (s *Stream) Write(p []byte) (n int, err error) {
	c := s.conn
	if !c.wmu.TryLock() {
		if n, isLeft, err := s.leave(p); isLeft {
			return n, err
		}
		if !c.wmu.TryLock() {
			return 0, nil
		}
	}
	defer c.unlock()
	for n < len(p) {
		m, err := s.admit(len(p) - n)
		if m == 0 || err != nil {
			return n, err
		}
		frame := frames.Get().(*[headerLength + maxData]byte)
		b := s.appendData(frame[:0], p[n:n+m])
		c.writing.Store(s)
		_, err = c.Conn.Write(b)
		c.writing.Store(nil)
		frames.Put(frame)
		if err != nil {
			c.fail()
			return n, err
		}
		n += m
	}
	return n, nil
}

func (s *Stream) appendData(b, p []byte) []byte {
	return append(header{length: len(p), kind: http2.FrameData, stream: s.id}.append(b), p...)
}

// leave leaves as much of p in the queue as the client takes, because the server
// writes. If it reports false, the caller may try to lock wmu again.
func (s *Stream) leave(p []byte) (n int, isLeft bool, err error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.state == stateEnded || c.dead:
		return 0, true, net.ErrClosed
	case !c.queue.isOpen:
		s.wait(obstacleConnection, &c.forLock)
		c.lockAsked.Store(true)
		return 0, false, nil
	case s.state == stateTaken:
		return 0, true, nil // the owner is told when the server has ended it
	case s.isQueued || len(c.queue.bytes) > maxQueue:
		s.wait(obstacleConnection, &c.forRoom)
		return 0, true, nil
	}
	for n < len(p) && len(c.queue.bytes) <= maxQueue {
		m := s.granted(min(len(p)-n, maxData))
		if m == 0 {
			break
		}
		s.spend(m)
		c.queue.bytes = s.appendData(c.queue.bytes, p[n:n+m])
		n += m
	}
	if n > 0 {
		s.isQueued = true
		c.queue.streams = append(c.queue.streams, s)
	}
	return n, true, nil
}

// admit returns how many of n bytes may be written in the next frame. The caller holds
// wmu.
func (s *Stream) admit(n int) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.state == stateEnded || c.dead:
		return 0, net.ErrClosed
	case s.state == stateTaken:
		return 0, nil
	case c.isMidFrame || c.isFull || len(c.queue.bytes) > 0:
		s.wait(obstacleConnection, &c.forRoom)
		return 0, nil
	}
	if n = s.granted(min(n, maxData)); n == 0 {
		return 0, nil
	}
	room := c.outlet.Room(headerLength + n)
	if room <= headerLength {
		c.awaitRoom()
		s.wait(obstacleConnection, &c.forRoom)
		return 0, nil
	}
	n = room - headerLength
	s.spend(n)
	return n, nil
}

// granted returns how many of n bytes the client takes. The caller holds the
// connection's mu.
func (s *Stream) granted(n int) int {
	c := s.conn
	m := min(n, s.window, c.account.reserve)
	if m == n || m >= leastData {
		return m
	}
	switch now := time.Now(); {
	case s.why != obstacleWindow:
		s.since = now
	case m > 0 && now.Sub(s.since) >= windowPatience:
		s.since = now
		return m
	}
	if s.wantsWindow = s.window < n; c.account.reserve < n {
		s.wait(obstacleWindow, &c.forRoom)
	}
	s.why = obstacleWindow
	return 0
}

// spend counts n bytes as sent. The caller holds the connection's mu.
func (s *Stream) spend(n int) {
	s.window -= n
	s.conn.account.reserve -= n
	s.why = obstacleNone
}

// wait makes the owner be told with the others of a list. The caller holds the
// connection's mu.
func (s *Stream) wait(why obstacle, list *[]*Stream) {
	s.why = why
	if !s.isWaiting {
		s.isWaiting = true
		*list = append(*list, s)
	}
}

// tell tells the owner that it may write. The caller holds the connection's mu.
func (s *Stream) tell() {
	if s.owner != nil {
		s.owner.Writable()
	}
}

// serverHasEnded notes that the server has sent its last frame of the stream. The
// caller holds the connection's mu.
func (s *Stream) serverHasEnded() {
	if s.state == stateTaken {
		s.state = stateOpen
		s.tell()
	}
}

// lose ends the stream without another frame. The caller holds the connection's mu.
func (s *Stream) lose() {
	if s.state == stateOpen {
		s.conn.forget(s.id)
	}
	s.state = stateEnded // if the server has not ended it yet, that is still to come
}

// End ends the stream: as a whole, or, because something is missing, with a reset. It
// may block like Write.
func (s *Stream) End(whole bool) {
	c := s.conn
	c.mu.Lock()
	if c.dead || s.state != stateOpen {
		s.state = stateEnded
		c.mu.Unlock()
		return
	}
	s.state = stateEnded
	if whole {
		c.queue.bytes = header{kind: http2.FrameData, flags: http2.FlagDataEndStream, stream: s.id}.append(c.queue.bytes)
	} else {
		c.queue.bytes = appendControl(c.queue.bytes, http2.FrameRSTStream, s.id, uint32(http2.ErrCodeCancel))
	}
	c.forget(s.id)
	c.mu.Unlock()
	c.flushSoon()
}

// Abort ends a Write that blocks, and the connection if that takes nothing. It may be
// called at any time.
func (s *Stream) Abort() {
	c := s.conn
	isWriting := c.writing.Load() == s
	c.mu.Lock()
	isStuck := s.state == stateOpen && (isWriting || s.why == obstacleConnection)
	c.mu.Unlock()
	if isStuck {
		_ = c.NetConn().Close()
	}
}

// Touch reads a little of what Write needs, so that it is in the processor's cache
// then. It may be called at any time.
func (s *Stream) Touch() {
	c := s.conn
	c.writing.Load()
	c.lockAsked.Load()
	_ = c.NetConn()
}

// Unacked is [socket.Unacked] of the connection.
func (s *Stream) Unacked() (since time.Duration, owed bool) { return socket.Unacked(s.conn.NetConn()) }
