package h2tap

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/net/http2"
)

var errStream = errors.New("the client opens a stream again")

// inbound is where the tap is in what the client sends. Only who holds Conn.rmu
// touches it.
type inbound struct {
	frame [controlLength]byte // start of the current frame
	n     int                 // length of frame
	ready []byte              // what the server is to read next
	left  int                 // rest of the payload
	head  header              // of the current frame, whose payload is read
	block bool                // a CONTINUATION frame must follow

	setting [6]byte // start of the current setting
	at      int     // length of setting
	window  int     // last initial window in the settings; -1 if none
	ping    []byte  // payload so far of a PING that the tap answers
	isOurs  bool    // whether the current frame is such a PING in a session

	blocks    *blocks
	isAnother bool // whether the session is not the connection's first
}

// isAtBoundary reports whether the server has read whole frames only.
func (in *inbound) isAtBoundary() bool {
	return in.n == 0 && in.left == 0 && len(in.ready) == 0 && !in.block
}

// isSettings reports whether the payload is settings.
func (in *inbound) isSettings() bool {
	return in.head.kind == http2.FrameSettings && !in.head.flags.Has(http2.FlagSettingsAck)
}

// isBlock reports whether the payload is a part of a header block that is collected.
func (in *inbound) isBlock() bool {
	return (in.head.kind == http2.FrameHeaders || in.head.kind == http2.FrameContinuation) && !in.blocks.isLost
}

// Read implements [net.Conn] for the server.
func (c *Conn) Read(p []byte) (n int, err error) {
	c.rmu.Lock()
	defer c.rmu.Unlock()
	for n == 0 && err == nil {
		switch phase := c.phase.Load(); {
		case phase == phaseTired && c.in.isAtBoundary() && c.fallAsleep(), phase > phaseTired:
			return 0, io.EOF
		}
		if n, err = c.readFrames(p); err != nil {
			c.fault.Store(true)
		}
	}
	return n, err
}

// readFrames is Read, but it may return neither bytes nor an error. The caller holds
// rmu.
func (c *Conn) readFrames(p []byte) (n int, err error) {
	in := &c.in
	switch {
	case len(in.ready) > 0:
		n = copy(p, in.ready)
		if in.ready = in.ready[n:]; len(in.ready) == 0 {
			in.ready = nil
		}
		return n, nil
	case in.left > 0 && in.isBlock():
		return 0, c.readBlock()
	case in.left > 0 && in.isOurs:
		return 0, c.readPing()
	case in.left > 0:
		n, err = c.receive(p[:min(len(p), in.left)])
		in.left -= n
		if in.isSettings() {
			c.readSettings(p[:n])
		}
		return n, err
	}
	if in.n == 0 && !in.block {
		if in.ready = c.appendOwed(nil); in.ready != nil {
			return 0, nil
		}
	}
	return 0, c.readHeader()
}

// readHeader reads the start of a frame, or a part of that.
func (c *Conn) readHeader() error {
	in := &c.in
	want := headerLength
	if in.n >= headerLength {
		want = controlLength // must be known before it is passed on, if it is
	}
	n, err := c.receive(in.frame[in.n:want])
	if in.n += n; in.n == want && err == nil {
		err = c.frameBegins()
	}
	return err
}

// readPing reads a part of the payload of a PING, and answers it.
func (c *Conn) readPing() error {
	in := &c.in
	var buf [pingLength]byte
	n, err := c.receive(buf[:in.left])
	in.ping = append(in.ping, buf[:n]...)
	if in.left -= n; in.left > 0 || err != nil {
		return err
	}
	return c.answer()
}

// readBlock reads a part of a header block.
func (c *Conn) readBlock() error {
	in, b := &c.in, c.in.blocks
	begin := len(b.raw)
	b.raw = slices.Grow(b.raw, in.left)[:begin+in.left]
	n, err := c.receive(b.raw[begin:])
	b.raw = b.raw[:begin+n]
	if in.left -= n; in.left > 0 || err != nil {
		return err
	}
	return c.blockEnds()
}

// blockEnds ends a frame of a header block, and passes the block on if that was the
// last one.
func (c *Conn) blockEnds() (err error) {
	in, b := &c.in, c.in.blocks
	if b.end(in.head); in.isAnother {
		b.raw = b.raw[:0] // the block is encoded anew
	}
	if !in.block {
		in.ready, err = b.take(!in.isAnother)
	}
	return err
}

// receive reads from the connection. It returns nothing if it was woken.
func (c *Conn) receive(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	switch {
	case n > 0 || err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded) && c.wasWoken(): // [tls.Conn] does not remember this error
		return 0, nil
	}
	c.fail()
	return 0, err
}

// frameBegins looks at a frame of which the header is known, and of WINDOW_UPDATE and
// RST_STREAM the rest too.
func (c *Conn) frameBegins() error {
	in := &c.in
	h := parseHeader(in.frame[:])
	isControl := (h.kind == http2.FrameWindowUpdate || h.kind == http2.FrameRSTStream) && h.length == 4
	if isControl && in.n == headerLength {
		return nil
	}
	c.frames.Add(1)
	mayContinue := in.block
	in.ready = in.frame[:in.n]
	in.left = h.length - (in.n - headerLength)
	in.n = 0
	in.head = h
	in.block = h.opensBlock()
	in.at, in.window = 0, -1
	// a session that ends may lose a PING that it has read; so while streams will outlive
	// it, the tap answers well-formed PINGs itself
	in.isOurs = h.kind == http2.FramePing && !h.flags.Has(http2.FlagPingAck) && h.length == pingLength && h.stream == 0 &&
		!mayContinue && c.isBusy()
	switch h.kind {
	case http2.FrameHeaders:
		if !c.clientOpens(h) && in.isAnother {
			return errStream // this session does not know that the number is taken
		}
	case http2.FrameData:
		c.clientSends(h)
	case http2.FrameSettings:
		switch {
		case !h.flags.Has(http2.FlagSettingsAck):
			c.awaitSettled()
		case h.length == 0 && h.stream == 0 && c.clientSettles():
			in.ready = nil
		}
	case http2.FrameRSTStream:
		if isControl && c.clientResets(h.stream) {
			in.ready = nil
		}
	case http2.FrameWindowUpdate:
		if isControl && c.clientGrants(h.stream, int(binary.BigEndian.Uint32(in.ready[headerLength:])&maxWindow)) {
			in.ready = nil
		}
	case http2.FramePing:
		if in.isOurs {
			in.ready = nil
		}
	default:
	}
	if mayContinue && h.kind != http2.FrameContinuation && !in.blocks.isLost {
		return c.loseBlocks() // the server ends the session
	}
	if !in.isBlock() {
		return nil
	}
	if mayContinue != (h.kind == http2.FrameContinuation) || max(len(in.blocks.raw), len(in.blocks.fragment))+h.length > in.blocks.limit(!in.isAnother) {
		return c.loseBlocks()
	}
	in.blocks.begin(h, in.ready)
	in.ready = nil
	if in.left == 0 {
		return c.blockEnds()
	}
	return nil
}

// loseBlocks passes on the collected bytes unchanged, and all later header blocks too,
// because the client's table is no longer known.
func (c *Conn) loseBlocks() error {
	in := &c.in
	if in.isAnother {
		return errBlock
	}
	in.ready = append(in.blocks.raw, in.ready...)
	in.blocks = &blocks{isLost: true}
	return nil
}

// readSettings reads a part of the settings' payload.
func (c *Conn) readSettings(p []byte) {
	in := &c.in
	for len(p) > 0 {
		n := copy(in.setting[in.at:], p)
		p = p[n:]
		if in.at += n; in.at < len(in.setting) {
			break
		}
		in.at = 0
		id, value := http2.SettingID(binary.BigEndian.Uint16(in.setting[:])), binary.BigEndian.Uint32(in.setting[2:])
		c.settings.set(id, value)
		if id == http2.SettingInitialWindowSize {
			in.window = int(value)
		}
	}
	if in.left == 0 && in.window >= 0 {
		c.clientSetsWindow(in.window)
	}
}
