package h2tap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// certificate is one that is fast to use.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// piped returns both ends of a TLS connection in memory.
func piped(t testing.TB) (server, client *tls.Conn) {
	a, b := net.Pipe()
	config := &tls.Config{ //nolint:gosec // the certificate is the test's own
		Certificates: []tls.Certificate{certificate()}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true,
	}
	server, client = tls.Server(a, config), tls.Client(b, config)
	_ = b.SetDeadline(time.Now().Add(chattest.Patience))
	shaken := make(chan error, 1)
	go func() { shaken <- client.Handshake() }()
	if err := errors.Join(server.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return server, client
}

// tapped returns a tap whose client has opened some streams, of which 1 and 3 were
// taken.
func tapped(conn *tls.Conn) (c *Conn, owners []*owner) {
	c = newConn(conn, 0, defaultMaxStreams)
	c.account.grant(1 << 20)
	c.account.takeOwed()
	c.newest = 7
	for _, id := range []uint32{1, 3} {
		s := &Stream{conn: c, id: id, window: initialWindow, state: stateOpen}
		c.streams[id] = streamState{taken: s}
		c.taken++
		owners = append(owners, own(s))
	}
	c.streams[5] = streamState{window: initialWindow}
	c.streams[7] = streamState{window: initialWindow, finished: true}
	return c, owners
}

// framesOf returns some frames as bytes.
func framesOf(write func(w *http2.Framer)) []byte {
	var b bytes.Buffer
	w := http2.NewFramer(&b, nil)
	w.AllowIllegalWrites = true
	write(w)
	return b.Bytes()
}

// addClientFrames adds what clients may send, and what they may not.
func addClientFrames(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add(framesOf(func(w *http2.Framer) {
		_ = w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 20000})
		_ = w.WriteWindowUpdate(0, 1<<24)
		_ = w.WriteWindowUpdate(1, 100)
		_ = w.WritePing(false, [8]byte{1, 2, 3})
		_ = w.WriteData(5, true, []byte("body"))
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 9, BlockFragment: []byte("block")})
		_ = w.WriteContinuation(9, true, []byte("more"))
		_ = w.WriteRSTStream(7, http2.ErrCodeCancel)
		_ = w.WriteRSTStream(1, http2.ErrCodeCancel)
	}), uint8(7))
	f.Add(framesOf(func(w *http2.Framer) {
		_ = w.WriteWindowUpdate(0, 1<<31-1)
		_ = w.WriteWindowUpdate(0, 0)
		_ = w.WriteWindowUpdate(1, 0)
		_ = w.WriteWindowUpdate(3, 1<<31-1)
		_ = w.WriteRawFrame(http2.FrameWindowUpdate, 0, 1, []byte{1, 2})
		_ = w.WriteRawFrame(http2.FrameRSTStream, 0, 3, make([]byte, 40))
		_ = w.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 11))
		_ = w.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 3))
		_ = w.WriteGoAway(0, http2.ErrCodeNo, []byte("bye"))
		_ = w.WriteData(3, false, []byte("x"))
	}), uint8(255))
}

// sendSplit sends bytes, so many at a time, and says goodbye.
func sendSplit(client *tls.Conn, b []byte, split uint8) {
	for len(b) > 0 {
		n := min(len(b), int(split)+1)
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
	_ = client.CloseWrite()
}

// FuzzClientFrames has a client send anything. The server must read that, apart from
// frames that are the tap's business and with frames of the tap's own.
func FuzzClientFrames(f *testing.F) {
	addClientFrames(f)
	f.Fuzz(func(t *testing.T, sent []byte, split uint8) {
		server, client := piped(t)
		c, owners := tapped(server)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		go sendSplit(client, append([]byte(http2.ClientPreface), sent...), split)
		watch := time.AfterFunc(chattest.Patience, func() { panic("the client's frames are not read") })
		defer watch.Stop()
		read := readAll(c)
		for _, o := range owners {
			<-o.gone
		}
		if !bytes.HasPrefix(read, []byte(http2.ClientPreface)) {
			t.Fatalf("the preface is %q", read)
		}
		if len(c.streams) > len(sent)/headerLength+4 {
			t.Errorf("%d streams after %d bytes", len(c.streams), len(sent))
		}
		checkRead(t, read[len(http2.ClientPreface):], sent)
		if sum := c.account.server + c.account.reserve; sum > maxWindow {
			t.Errorf("the window is %d", sum)
		}
	})
}

// nextFrame cuts off the first frame. Its payload may be incomplete; without a header
// there is none.
func nextFrame(b []byte) (h header, frame, rest []byte) {
	if len(b) < headerLength {
		return header{}, nil, nil
	}
	h = parseHeader(b)
	n := min(len(b), headerLength+h.length)
	return h, b[:n], b[n:]
}

// checkRead compares what a server has read with what its client has sent.
func checkRead(t *testing.T, read, sent []byte) {
	t.Helper()
	for {
		want, frame, rest := nextFrame(sent)
		isControl := (want.kind == http2.FrameWindowUpdate || want.kind == http2.FrameRSTStream) && want.length == 4
		isOurs := want.stream == 1 || want.stream == 3 || want.stream == 0 && want.kind == http2.FrameWindowUpdate
		isPing := want.kind == http2.FramePing && want.length == pingLength && want.stream == 0 && !want.flags.Has(http2.FlagPingAck)
		isHidden := frame != nil && (isPing || isControl && (isOurs || len(frame) < controlLength))
		got, passed, left := nextFrame(read)
		switch {
		case len(read) == 0 && (frame == nil || isUnfinished(sent)):
			return
		case frame != nil && bytes.Equal(passed, frame):
			sent, read = rest, left
		case isTooMuch(frame, passed):
			sent, read = rest, left
		case got.length == 4 && got.kind == http2.FrameWindowUpdate && got.stream == 0 && len(passed) == controlLength && got.flags == 0 && !bytes.Equal(passed[headerLength:], make([]byte, 4)):
			read = left // the tap's own
		case isHidden:
			sent = rest
		default:
			t.Fatalf("the server reads %x, want %x", passed, frame)
		}
	}
}

// isUnfinished reports whether bytes begin with a header block that does not end, which
// may be held back.
func isUnfinished(b []byte) bool {
	h, frame, rest := nextFrame(b)
	for isFirst := true; frame != nil; isFirst = false {
		switch {
		case isFirst && h.kind != http2.FrameHeaders:
			return false
		case !isFirst && h.kind != http2.FrameContinuation:
			return len(frame) < controlLength // the tap waits for the rest
		}
		if len(frame) < headerLength+h.length {
			return true
		}
		if !h.opensBlock() {
			return false
		}
		h, frame, rest = nextFrame(rest)
	}
	return true
}

// isTooMuch reports whether a client grants the connection more than it may, of which
// the server must read what makes it end the session.
func isTooMuch(frame, passed []byte) bool {
	return len(frame) == controlLength && bytes.Equal(frame[:headerLength], passed[:min(len(passed), headerLength)]) && parseHeader(frame).stream == 0 &&
		bytes.Equal(passed[headerLength:], make([]byte, 4))
}

// FuzzLingering has a client send anything after the session. The tap must answer in
// whole frames, and neither hold much nor wait for more than the client's end.
func FuzzLingering(f *testing.F) {
	addClientFrames(f)
	f.Fuzz(func(t *testing.T, sent []byte, split uint8) {
		server, client := piped(t)
		c, owners := tapped(server)
		c.in.left = int(split) // of what the session has begun to read
		c.leaving = true
		var answers bytes.Buffer
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(&answers, client) })
		go sendSplit(client, sent, split)
		watch := time.AfterFunc(chattest.Patience, func() { panic("the tap does not end") })
		defer watch.Stop()
		c.finish(nil)
		reading.Wait()
		if len(c.queue.bytes) > maxQueue+controlLength+pingLength {
			t.Errorf("the queue holds %d bytes", len(c.queue.bytes))
		}
		for _, o := range owners {
			<-o.gone
		}
		for b := answers.Bytes(); len(b) > 0; {
			h, frame, rest := nextFrame(b)
			isAck := h.flags == http2.FlagSettingsAck
			switch {
			case frame == nil || len(frame) != headerLength+h.length:
				t.Fatalf("a torn frame: %x", b)
			case h.kind == http2.FramePing && isAck && h.length == pingLength:
			case h.kind == http2.FrameSettings && isAck && h.length == 0:
			case h.kind == http2.FrameRSTStream && h.length == 4:
			default:
				t.Fatalf("the answer is %x", frame)
			}
			b = rest
		}
	})
}

// FuzzServerFrames has a server send anything, split anywhere. What its client gets
// does not depend on where, is never more, and differs in nothing but the ends of
// streams that were taken.
func FuzzServerFrames(f *testing.F) {
	f.Add(framesOf(func(w *http2.Framer) {
		_ = w.WriteSettingsAck()
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte("block")})
		_ = w.WriteContinuation(5, true, []byte("more"))
		_ = w.WriteData(1, true, nil)
		_ = w.WriteData(5, true, []byte("body"))
		_ = w.WriteData(3, true, []byte("body"))
		_ = w.WriteRSTStream(3, http2.ErrCodeNo)
		_ = w.WriteGoAway(7, http2.ErrCodeProtocol, []byte("reason"))
	}), uint64(3))
	f.Add(framesOf(func(w *http2.Framer) {
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("block"), EndStream: true})
		_ = w.WriteRawFrame(http2.FrameData, 9, 3, make([]byte, 300))
		_ = w.WriteRawFrame(http2.FrameRSTStream, 0, 1, make([]byte, 40))
		_ = w.WriteRawFrame(http2.FrameGoAway, 0, 0, make([]byte, 3))
	}), uint64(1))
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		sent = bytes.Clone(sent)
		for rest := sent; len(rest) >= headerLength; {
			rest[5] &= 0x7f // which no server sets
			_, _, rest = nextFrame(rest)
		}
		whole, one := filtered(sent, len(sent)+1, seed), filtered(sent, 1, seed)
		if other := filtered(sent, 40, seed); !bytes.Equal(whole, one) || !bytes.Equal(whole, other) {
			t.Fatalf("as a whole %x, byte by byte %x, in pieces %x", whole, one, other)
		}
		got := whole
		for {
			want, frame, rest := nextFrame(sent)
			if frame == nil {
				break
			}
			sent = rest
			h, passed, left := nextFrame(got)
			isOurs := want.stream == 1 || want.stream == 3
			unflagged := bytes.Clone(frame)
			unflagged[4] &^= byte(http2.FlagDataEndStream)
			switch {
			case bytes.Equal(passed, frame):
				got = left
			case isOurs && want.kind == http2.FrameData && want.length > 0 && bytes.Equal(passed, unflagged):
				got = left
			case isOurs && want.endsStream() && want.kind != http2.FrameHeaders:
			case isControl(want) && len(frame) < controlLength: // the rest may still come
			default:
				t.Fatalf("the client gets %+v %x, want %+v %x", h, passed, want, frame)
			}
		}
		if len(got) > 0 {
			t.Fatalf("the client gets more: %x", got)
		}
	})
}

// filtered returns what a client gets if a server writes at most n bytes at a time.
func filtered(sent []byte, n int, seed uint64) []byte {
	conn, _ := net.Pipe()
	defer conn.Close()
	c, owners := tapped(tls.Server(conn, nil))
	for _, o := range owners {
		o.state = stateTaken
	}
	random := mathrand.New(mathrand.NewPCG(seed, 1))
	var got []byte
	for len(sent) > 0 {
		m := min(len(sent), 1+random.IntN(n))
		got = append(got, c.filter(bytes.Clone(sent[:m]))...)
		sent = sent[m:]
	}
	return got
}
