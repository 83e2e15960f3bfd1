package h2tap

import (
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// Conn is a connection between a client and an HTTP/2 server that serves it, and a
// few streams of it that were taken from the server. The server calls the methods of
// [net.Conn]; all methods are safe for concurrent use.
type Conn struct {
	// Fields that every write of a stream touches come first and together, because
	// each cache line costs with many connections.

	*tls.Conn
	writing    atomic.Pointer[Stream] // stream that is being written, which may block
	wmu        sync.Mutex             // held while something is written
	isMidFrame bool                   // a frame is incomplete, so nobody else may begin one; guarded by wmu

	mu      sync.Mutex // guards all below; never held while anything waits
	dead    bool       // nothing more can be written
	isFull  bool       // whether a goroutine waits for room
	account account
	queue   queue

	lockAsked atomic.Bool   // whether forLock has any
	mustFlush atomic.Bool   // whether who holds wmu must write the queue
	outlet    socket.Outlet // guarded by wmu

	forLock []*Stream // streams to tell when the lock is free
	forRoom []*Stream // streams to tell when there is room, or the server writes

	hasOutlet bool // whether outlet is open; constant
	initial   int  // window of a new stream
	asked     int  // the same once the client's settings are acknowledged
	newest    uint32
	streams   map[uint32]streamState // all that are open
	taken     int                    // number of those that were taken
	leaving   bool                   // GOAWAY was sent
	hasQuit   bool                   // the tap sent that GOAWAY
	isTorn    bool                   // whether the server's last write has ended within a frame

	isSettling bool      // whether the client's settings are not acknowledged yet
	settled    sync.Cond // signals that they are, or that the session ends
	unacked    int       // SETTINGS frames that the client has not acknowledged yet
	stale      int       // those of them that earlier sessions have sent

	owesGoAway bool        // whether the session is to read a GOAWAY of the tap
	deadline   time.Time   // for reading, as the server has set it
	woken      bool        // whether another deadline was set to wake the reader
	idle       *time.Timer // calls quit; nil without a timeout
	quiet      *time.Timer // calls tire; nil until a stream was taken
	seen       uint32      // frames at its last call
	upload     int         // what the client may send
	mayGrant   bool        // whether a session begins with a grant

	out outbound // guarded by wmu

	rmu sync.Mutex // held while something is read
	in  inbound

	settings    settings      // of the client; guarded by rmu
	frames      atomic.Uint32 // number of frames that the client has sent
	phase       atomic.Uint32 // changed under mu
	fault       atomic.Bool   // the session has ended because of an error
	maxStreams  int
	idleTimeout time.Duration // 0 is none
}

// The phases of a connection.
const (
	phaseServed  = iota // a session of the server serves it
	phaseTired          // the session ends for now, unless a request comes first
	phaseResting        // another session begins with the next request
	phaseOver           // the last session has ended
)

// isOver reports whether no session will come.
func (c *Conn) isOver() bool { return c.phase.Load() == phaseOver }

// streamState is what is known of an open stream.
type streamState struct {
	window   int     // how many bytes the client takes
	finished bool    // whether the client will send nothing more
	refused  bool    // whether it is reset because there are too many
	taken    *Stream // nil while the server has it
}

func newConn(conn *tls.Conn, idleTimeout time.Duration, maxStreams int) *Conn {
	c := &Conn{
		Conn: conn, maxStreams: maxStreams, idleTimeout: idleTimeout,
		account: account{server: initialWindow, most: initialWindow},
		initial: initialWindow, asked: initialWindow, upload: initialWindow,
		streams: make(map[uint32]streamState),
	}
	c.settled.L = &c.mu
	c.in.left = len(http2.ClientPreface)
	c.in.blocks = newBlocks()
	c.hasOutlet = c.outlet.Open(conn) == nil
	if idleTimeout > 0 {
		c.idle = time.AfterFunc(idleTimeout, c.quit)
	}
	return c
}

// hasTooMany reports whether the client has opened more streams than it may.
func (c *Conn) hasTooMany() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken > 0 && len(c.streams) > c.maxStreams
}

// refuse makes the reset of a stream, which is to come, tell the client that it may
// send the request again.
func (c *Conn) refuse(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, ok := c.streams[id]; ok {
		state.refused = true
		c.streams[id] = state
	}
}

// SetReadDeadline implements [net.Conn] for the server.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.woken {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements [net.Conn] for the server.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// wake makes the reader look whether there is something for it to do. The caller
// holds mu.
func (c *Conn) wake() {
	c.settled.Broadcast()
	c.woken = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// wasWoken reports whether a read has failed because of wake.
func (c *Conn) wasWoken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.woken {
		return false
	}
	c.woken = false
	_ = c.Conn.SetReadDeadline(c.deadline)
	return true
}

// appendOwed appends the frames of the tap's own that the session is to read next.
func (c *Conn) appendOwed(b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.account.takeOwed(); n > 0 {
		b = appendControl(b, http2.FrameWindowUpdate, 0, uint32(n))
	}
	if c.owesGoAway && c.frames.Load() > 0 { // the client's settings must come first
		c.owesGoAway = false
		b = appendGoAway(b, 0)
	}
	return b
}

// forget removes a stream that has ended. The caller holds mu.
func (c *Conn) forget(id uint32) {
	state, ok := c.streams[id]
	if !ok {
		return
	}
	delete(c.streams, id)
	if state.taken != nil {
		c.taken--
		if c.taken == 0 && c.isOver() {
			c.wake() // nothing is left to linger for
		}
	}
	if len(c.streams) == 0 && c.idle != nil && !c.isOver() {
		c.idle.Reset(c.idleTimeout)
	}
}

// fail ends all that is open on a connection that is broken.
func (c *Conn) fail() {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return
	}
	c.dead = true
	c.settled.Broadcast()
	owners := c.owners()
	c.mu.Unlock()
	_ = c.NetConn().Close() // without an alert, which could block
	tellGone(owners)
}

// tellGone tells owners, of which some may be nil, that their streams have ended.
func tellGone(owners []Owner) {
	for _, owner := range owners {
		if owner != nil {
			owner.Gone()
		}
	}
}

// owners returns the owners of all streams that were taken. The caller holds mu.
func (c *Conn) owners() []Owner {
	var owners []Owner
	for _, state := range c.streams {
		if s := state.taken; s != nil && s.owner != nil {
			owners = append(owners, s.owner)
		}
	}
	return owners
}
