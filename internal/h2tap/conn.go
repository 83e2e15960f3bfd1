package h2tap

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

const (
	// defaultMaxStreams is what x/net allows a client.
	defaultMaxStreams = 250
	// lingering is how long streams go on, and up to half as long again, on a
	// connection whose session has ended.
	lingering = 2 * time.Minute
	// lingerStep is the time between the ends of such streams.
	lingerStep = 500 * time.Millisecond
	// lastWrite is how long the last frames of a connection may take.
	lastWrite = time.Second
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
	isMidFrame bool                   // whether no other's frame may come next; guarded by wmu

	mu      sync.Mutex // guards all below; never held while anything waits
	dead    bool       // nothing more can be written
	isFull  bool       // whether a goroutine waits for room
	account account
	queue   queue

	lockAsked  atomic.Bool   // whether forLock has any
	flushAgain atomic.Bool   // whether who holds wmu must write the queue
	outlet     socket.Outlet // guarded by wmu

	forLock []*Stream // streams to tell when the lock is free
	forRoom []*Stream // streams to tell when there is room, or the server writes

	hasOutlet bool // whether a stream was taken before
	initial   int  // window of a new stream
	newest    uint32
	streams   map[uint32]streamState // all that are open
	taken     int                    // number of those that were taken
	leaving   bool                   // GOAWAY was sent
	hasQuit   bool                   // it was the tap that did
	deadline  time.Time              // for reading, as the server has set it
	woken     bool                   // whether another deadline was set to wake the reader
	idle      *time.Timer            // calls quit; nil without a timeout

	out outbound // guarded by wmu

	rmu sync.Mutex // held while something is read
	in  inbound

	over        atomic.Bool // the server's session has ended
	fault       atomic.Bool // it ended because of an error
	maxStreams  int
	idleTimeout time.Duration // 0 is none
}

// streamState is what is known of an open stream.
type streamState struct {
	window   int     // what the client takes
	finished bool    // whether the client will send nothing more
	taken    *Stream // nil while the server has it
}

func newConn(conn *tls.Conn, idleTimeout time.Duration, maxStreams int) *Conn {
	c := &Conn{
		Conn: conn, maxStreams: maxStreams, idleTimeout: idleTimeout,
		account: account{server: initialWindow, most: initialWindow},
		initial: initialWindow,
		streams: make(map[uint32]streamState),
	}
	c.in.left = len(http2.ClientPreface)
	if idleTimeout > 0 {
		c.idle = time.AfterFunc(idleTimeout, c.quit)
	}
	return c
}

// idleTimeout returns how long a connection of a server may carry no stream, as
// x/net has it.
func idleTimeout(server *http.Server) time.Duration {
	if server.IdleTimeout != 0 {
		return server.IdleTimeout
	}
	return server.ReadTimeout
}

// maxStreams returns how many streams of a connection a client may open, as x/net
// tells it.
func maxStreams(server *http.Server) int {
	if server.HTTP2 != nil && server.HTTP2.MaxConcurrentStreams > 0 {
		return server.HTTP2.MaxConcurrentStreams
	}
	return defaultMaxStreams
}

// isCrowded reports whether the client has opened more streams than it may.
func (c *Conn) isCrowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken > 0 && len(c.streams) > c.maxStreams
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

// takeGrant returns what the server may send more.
func (c *Conn) takeGrant() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.account.takeOwed()
}

// clientOpens notes that the client has sent HEADERS.
func (c *Conn) clientOpens(h header) {
	c.mu.Lock()
	state, ok := c.streams[h.stream]
	switch {
	case ok && state.taken != nil:
		c.mu.Unlock()
		c.clientEnds(h.stream)
		return
	case ok:
		state.finished = h.endsStream()
		c.streams[h.stream] = state
	case h.stream > c.newest && !c.leaving && !c.over.Load():
		c.newest = h.stream
		c.streams[h.stream] = streamState{window: c.initial, finished: h.endsStream()}
		if c.idle != nil && len(c.streams) == 1 {
			c.idle.Stop()
		}
	}
	c.mu.Unlock()
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

// clientEnds ends a stream that was taken, because the client has reset it or sent
// something on it that it may not send. It does nothing to others.
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
		if ok {
			c.tell(&c.forRoom)
		}
		c.mu.Unlock()
		return ok // otherwise the server deals with it
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
	if isFault {
		c.clientEnds(id)
	}
	return true
}

// clientSetsWindow notes the window that all new streams have, which changes that of
// the open ones too.
func (c *Conn) clientSetsWindow(n int) {
	if n > maxWindow {
		return // the server closes the connection
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	by := n - c.initial
	c.initial = n
	for id, state := range c.streams {
		if s := state.taken; s != nil {
			s.window += by
			s.wantsWindow = false
			s.tell()
		} else {
			state.window += by
			c.streams[id] = state
		}
	}
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
		if c.taken == 0 && c.over.Load() {
			c.wake() // nothing is left to linger for
		}
	}
	if len(c.streams) == 0 && c.idle != nil {
		c.idle.Reset(c.idleTimeout)
	}
}

// quit ends the session of a connection that has carried no stream for a while.
func (c *Conn) quit() {
	c.mu.Lock()
	if len(c.streams) > 0 || c.over.Load() {
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

// Close implements [net.Conn] for the server, which calls it when its session is
// over. The connection is closed by finish.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leaving {
		c.fault.Store(true)
	}
	c.over.Store(true)
	c.wake()
	return nil
}

// fail ends all that is open on a connection that is broken.
func (c *Conn) fail() {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return
	}
	c.dead = true
	owners := c.owners()
	c.mu.Unlock()
	_ = c.NetConn().Close() // without an alert, which could block
	for _, owner := range owners {
		owner.Gone()
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

// finish waits until the last stream has ended, after the server's session has, and
// closes the connection.
func (c *Conn) finish(server *http.Server) {
	_ = c.Close()
	if c.idle != nil {
		c.idle.Stop()
	}
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
		if c.answer() != nil {
			return
		}
	}
	c.sayGoodbye()
	var err error
	for _ = c.SetReadDeadline(time.Now().Add(lastWrite)); err == nil; {
		err = c.answer()
	}
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

// isBusy reports whether a stream is left.
func (c *Conn) isBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken > 0 && !c.dead
}

// answer reads one frame, or a part of one, and answers it.
func (c *Conn) answer() error {
	h, payload, err := c.readControl()
	if err != nil || h.flags.Has(http2.FlagPingAck) {
		return err
	}
	switch h.kind {
	case http2.FramePing:
		h.flags = http2.FlagPingAck
	case http2.FrameSettings:
		h.flags, h.length, payload = http2.FlagSettingsAck, 0, nil
	default:
		return nil
	}
	c.mu.Lock()
	isFull := len(c.queue.bytes) > maxQueue
	c.queue.bytes = append(h.append(c.queue.bytes), payload...)
	c.mu.Unlock()
	if isFull {
		return net.ErrClosed // the client asks much and reads nothing
	}
	c.flushSoon()
	return nil
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
