package h2tap

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"testing"

	"golang.org/x/net/http2"
)

// pair returns both ends of a TLS connection.
func pair(t testing.TB) (server, client *tls.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan *tls.Conn, 1)
	go func() {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is the test's own
		if err != nil {
			t.Error(err)
		}
		dialed <- conn
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewUnstartedServer(nil)
	site.StartTLS()
	site.Close()
	server = tls.Server(conn, &tls.Config{Certificates: site.TLS.Certificates}) //nolint:gosec // as above
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	client = <-dialed
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// readAll reads all that a client sends, and acknowledges its settings.
func readAll(c *Conn) []byte {
	var read []byte
	begin := len(http2.ClientPreface) // of the first frame that is not looked at yet
	for buf := make([]byte, 32<<10); ; {
		n, err := c.Read(buf)
		if err != nil {
			return read
		}
		read = append(read, buf[:n]...)
		for len(read) >= begin+headerLength {
			h := parseHeader(read[begin:])
			if len(read) < begin+headerLength+h.length {
				break
			}
			begin += headerLength + h.length
			if h.kind == http2.FrameSettings && !h.flags.Has(http2.FlagSettingsAck) {
				_, _ = c.Write(header{kind: http2.FrameSettings, flags: http2.FlagSettingsAck}.append(nil))
			}
		}
	}
}

// What the server reads are the client's frames, however they are split, without the
// grants for the connection, and with the tap's own.
func TestWhatTheServerReads(t *testing.T) {
	server, client := pair(t)
	c := newConn(server, 0, defaultMaxStreams)
	random := rand.New(rand.NewPCG(1, 2))
	var sent bytes.Buffer
	var want []string
	sent.WriteString(http2.ClientPreface)
	w := http2.NewFramer(&sent, nil)
	w.AllowIllegalWrites = true
	granted := 0
	for i := range 2000 {
		id := uint32(random.IntN(20)*2 + 1)
		begin := sent.Len()
		switch random.IntN(7) {
		case 0:
			_ = w.WriteData(id, random.IntN(2) == 0, make([]byte, random.IntN(40000)))
		case 1:
			_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: make([]byte, random.IntN(100)), EndHeaders: true})
		case 2:
			_ = w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 20000})
		case 3:
			_ = w.WriteWindowUpdate(id, 5)
		case 4:
			n := random.IntN(100000) + 1
			granted += n
			_ = w.WriteWindowUpdate(0, uint32(n))
			continue
		case 5:
			_ = w.WriteRSTStream(id, http2.ErrCodeCancel)
		case 6:
			_ = w.WritePing(false, [8]byte{byte(i)})
		}
		want = append(want, fmt.Sprintf("%x", sent.Bytes()[begin:min(sent.Len(), begin+20)]))
	}
	go func() {
		for b := sent.Bytes(); len(b) > 0; {
			n := min(len(b), random.IntN(30)+1)
			if random.IntN(4) == 0 {
				n = min(len(b), random.IntN(30000)+1)
			}
			_, _ = client.Write(b[:n])
			b = b[n:]
		}
		_ = client.CloseWrite()
	}()
	go func() { _, _ = io.Copy(io.Discard, client) }()
	var got []string
	told := 0
	b := readAll(c)[len(http2.ClientPreface):]
	for len(b) > 0 {
		h := parseHeader(b)
		frame := b[:headerLength+h.length]
		b = b[len(frame):]
		if h.kind == http2.FrameWindowUpdate && h.stream == 0 {
			told++
			continue
		}
		got = append(got, fmt.Sprintf("%x", frame[:min(len(frame), 20)]))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("frame %d is %s, want %s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d frames, want %d", len(got), len(want))
	}
	if sum := c.account.server + c.account.reserve; sum != initialWindow+granted {
		t.Errorf("the window is %d, want %d", sum, initialWindow+granted)
	}
	if told == 0 {
		t.Error("the server was told of no grant")
	}
	if c.initial == initialWindow {
		t.Error("settings were not read")
	}
}
