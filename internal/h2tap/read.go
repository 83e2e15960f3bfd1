package h2tap

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/net/http2"
)

// inbound is where the tap is in what the client sends. Only who holds Conn.rmu
// touches it.
type inbound struct {
	frame [controlLength]byte // begin of the current frame
	n     int                 // length of frame
	ready []byte              // part of frame that the server has not read yet
	left  int                 // rest of the payload, which is passed on as it comes
	block bool                // a CONTINUATION frame must follow

	settings bool    // whether the payload is settings
	setting  [6]byte // begin of the current setting
	at       int     // length of setting
}

// Read implements [net.Conn] for the server.
func (c *Conn) Read(p []byte) (n int, err error) {
	c.rmu.Lock()
	defer c.rmu.Unlock()
	for n == 0 && err == nil {
		if c.over.Load() {
			return 0, io.EOF
		}
		n, err = c.readFrames(p)
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
		in.ready = in.ready[n:]
		return n, nil
	case in.left > 0:
		n, err = c.receive(p[:min(len(p), in.left)])
		in.left -= n
		if in.settings {
			c.readSettings(p[:n])
		}
		return n, err
	}
	if in.n == 0 && !in.block {
		if grant := c.takeGrant(); grant > 0 {
			in.ready = appendControl(in.frame[:0], http2.FrameWindowUpdate, 0, uint32(grant))
			return 0, nil
		}
	}
	return 0, c.readHeader()
}

// readHeader reads the begin of a frame, or a part of that.
func (c *Conn) readHeader() error {
	in := &c.in
	want := headerLength
	if in.n >= headerLength {
		want = controlLength // must be known before it is passed on, if it is
	}
	n, err := c.receive(in.frame[in.n:want])
	if in.n += n; in.n == want {
		c.frameBegins()
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
func (c *Conn) frameBegins() {
	in := &c.in
	h := parseHeader(in.frame[:])
	isControl := (h.kind == http2.FrameWindowUpdate || h.kind == http2.FrameRSTStream) && h.length == 4
	if isControl && in.n == headerLength {
		return
	}
	in.ready = in.frame[:in.n]
	in.left = h.length - (in.n - headerLength)
	in.n = 0
	in.block = h.opensBlock()
	in.settings = h.kind == http2.FrameSettings && !h.flags.Has(http2.FlagSettingsAck)
	in.at = 0
	switch h.kind {
	case http2.FrameHeaders:
		c.clientOpens(h)
	case http2.FrameData:
		c.clientEnds(h.stream) // unless the stream was not taken
	case http2.FrameRSTStream:
		if isControl && c.clientResets(h.stream) {
			in.ready = nil
		}
	case http2.FrameWindowUpdate:
		if isControl && c.clientGrants(h.stream, int(binary.BigEndian.Uint32(in.ready[headerLength:])&maxWindow)) {
			in.ready = nil
		}
	}
}

// readSettings reads a part of the settings' payload.
func (c *Conn) readSettings(p []byte) {
	for in := &c.in; len(p) > 0; {
		n := copy(in.setting[in.at:], p)
		p = p[n:]
		if in.at += n; in.at < len(in.setting) {
			return
		}
		in.at = 0
		if http2.SettingID(binary.BigEndian.Uint16(in.setting[:])) == http2.SettingInitialWindowSize {
			c.clientSetsWindow(int(binary.BigEndian.Uint32(in.setting[2:])))
		}
	}
}

// readControl reads one frame and returns its header, and the payload of a PING. It
// returns the zero header if it was woken. The caller holds rmu, and no session reads.
func (c *Conn) readControl() (h header, payload []byte, err error) {
	in := &c.in
	in.ready, in.block = nil, false
	var buf [256]byte
	for in.left > 0 { // of a frame whose begin the session has read
		if n, err := c.readFrames(buf[:]); n == 0 {
			return header{}, nil, err
		}
	}
	for len(in.ready) == 0 {
		before := in.n
		if err := c.readHeader(); err != nil || in.n == before && len(in.ready) == 0 {
			return header{}, nil, err
		}
	}
	h = parseHeader(in.ready)
	in.ready = nil
	if h.kind != http2.FramePing || h.length != pingLength {
		return h, nil, nil
	}
	for len(payload) < pingLength {
		n, err := c.readFrames(buf[:])
		if err != nil {
			return header{}, nil, err
		}
		payload = append(payload, buf[:n]...)
	}
	return h, payload, nil
}
