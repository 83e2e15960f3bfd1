//go:build linux && !race

package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// greed is what clients do to have a server hold much for them.
type greed struct {
	name string
	// frame writes the frame i of so many, for a client.
	frame   func(c *chattest.HTTP2, w *http2.Framer, i int) error
	frames  int
	windows chattest.HTTP2Windows
	// isDeaf is whether the clients read nothing once their streams are parked.
	isDeaf bool
	// most is how much the server may hold for each client, in KB, and then is how
	// much once it has dealt with all frames.
	most, then int
}

var (
	tightWindows = chattest.HTTP2Windows{Connection: 1 << 20, Stream: 2 << 10}
	deafWindows  = chattest.HTTP2Windows{Connection: 128 << 20, Stream: 64 << 20, Delay: 1}
)

// greeds may cost about twice as much as was measured.
var greeds = []greed{
	{"nothing", nil, 0, chattest.LargeWindows, false, 150, 140},
	{"SETTINGS", sendSettings, 20_000, chattest.LargeWindows, false, 800, 140},
	// 10,000 answers may wait in x/net
	{"PING", sendPing, 20_000, chattest.LargeWindows, false, 2000, 140},
	{"WINDOW_UPDATE", sendWindowUpdate, 20_000, chattest.LargeWindows, false, 800, 140},
	{"RST_STREAM", sendReset, 20_000, chattest.LargeWindows, false, 800, 140},
	{"grants of a byte", grantByte, 3000, tightWindows, false, 400, 140},
	{"messages, unread", nil, 0, deafWindows, true, 400, 140},
	{"SETTINGS, unread", sendSettings, 200_000, deafWindows, true, 1500, 140},
	{"PING, unread", sendPing, 200_000, deafWindows, true, 2000, 140},
	// 1 MB of a block may be kept until its end comes
	{"a header block without end", sendContinuation, 3000, chattest.LargeWindows, false, 4000, 2000},
	// 250 requests may be served at a time, and 1000 may wait
	{"requests and RST_STREAM", sendRequest, 12_000, chattest.LargeWindows, false, 12_000, 140},
}

func sendSettings(_ *chattest.HTTP2, w *http2.Framer, i int) error {
	return w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 6<<20 + uint32(i%2)})
}

func sendPing(_ *chattest.HTTP2, w *http2.Framer, i int) error {
	return w.WritePing(false, [8]byte{byte(i)})
}

func sendWindowUpdate(_ *chattest.HTTP2, w *http2.Framer, i int) error {
	return w.WriteWindowUpdate([]uint32{0, 1, 3, 7}[i%4], 1)
}

func sendReset(_ *chattest.HTTP2, w *http2.Framer, _ int) error {
	return w.WriteRSTStream(7, http2.ErrCodeCancel)
}

func grantByte(c *chattest.HTTP2, _ *http2.Framer, i int) error {
	c.Grant(uint32(1+2*(i%3)), 1)
	return nil
}

func sendContinuation(_ *chattest.HTTP2, w *http2.Framer, i int) error {
	if i == 0 {
		return w.WriteHeaders(http2.HeadersFrameParam{StreamID: 9, BlockFragment: []byte("\x82\x87\x84")})
	}
	return w.WriteContinuation(9, false, []byte("\x00\x01a\x7f\x81\x07"+strings.Repeat("x", 262)))
}

// sendRequest opens a stream, or resets the one before.
func sendRequest(_ *chattest.HTTP2, w *http2.Framer, i int) error {
	id := uint32(9 + i/2*2)
	if i%2 == 1 {
		return w.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	// GET https://localhost/ by their numbers in the table that all clients have
	return w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte("\x82\x87\x84\x41\x09localhost"), EndHeaders: true, EndStream: true})
}

// Whatever frames clients send, and however little they read or grant, a server holds
// little for each: while its session serves them, and while that sleeps.
func TestFramesWithoutEndCostNobodyMemory(t *testing.T) {
	for _, isAsleep := range []bool{false, true} {
		t.Run(fmt.Sprint("asleep ", isAsleep), func(t *testing.T) { testGreed(t, isAsleep) })
	}
}

func testGreed(t *testing.T, isAsleep bool) {
	_, port, _ := net.SplitHostPort(chattest.FreeAddr(t))
	s := &besieged{caddytest.StartAdmin(t, chattest.FreeAddr(t), "https://localhost:"+port, "sse_chat {\nwrite_timeout 10m\nretain 10\n}")}
	mobs := make([]*mob, len(greeds))
	for i, g := range greeds {
		mobs[i] = &mob{greed: g, site: s, room: fmt.Sprint("r", i)}
		mobs[i].enter(t)
	}
	if isAsleep {
		s.Client.CloseIdleConnections()
		chattest.Eventually(t, "the sessions sleep", func() bool {
			return !strings.Contains(s.Admin.Do(t, http.MethodGet, "/debug/pprof/goroutine?debug=1", "").Body, "(*serverConn).serve+")
		})
	}
	for _, m := range mobs {
		if !isAsleep {
			m.leave(t) // what is allocated only once is there now
		}
		before := s.heap(t)
		if !isAsleep {
			m.enter(t)
		}
		each := func(heap int) int { return (heap - before) / mobSize >> 10 }
		most := each(m.act(t))
		now := each(s.heap(t))
		for begin := time.Now(); now > m.then && time.Since(begin) < chattest.Patience; now = each(s.heap(t)) {
			time.Sleep(100 * time.Millisecond)
		}
		if t.Logf("%s: at most %d KB each, then %d KB", m.name, most, now); most > m.most || now > m.then {
			t.Errorf("%s may cost %d KB, and then %d KB", m.name, m.most, m.then)
		}
	}
}

// heap is how much of the heap is in use, without what is only kept for reuse.
func (s *besieged) heap(t *testing.T) int {
	s.usage(t)
	return s.usage(t).heap
}

// mobSize is the number of clients of a mob.
const mobSize = 16

// mob is clients that do the same, each with three streams of a room.
type mob struct {
	greed
	site    *besieged
	room    string
	clients []*chattest.HTTP2
}

func (m *mob) enter(t *testing.T) {
	t.Helper()
	for range mobSize {
		c := chattest.DialHTTP2(t, m.site.Addr, m.windows)
		m.clients = append(m.clients, c)
		for _, id := range []uint32{1, 3, 5, 7} {
			c.Get(id, "/subscribe?room="+m.room)
			c.Until(t, id, "retry: ")
		}
		c.Reset(7)
	}
	chattest.Eventually(t, "the streams are there", func() bool { return m.streams(t) == 3*mobSize })
}

// streams counts those of the mob: streams of others may end at any time.
func (m *mob) streams(t *testing.T) int {
	t.Helper()
	answer := m.site.Admin.Do(t, http.MethodGet, "/sse_chat/hubs/default/rooms", "")
	var rooms []struct {
		Name        string
		Subscribers int
	}
	if err := json.Unmarshal([]byte(answer.Body), &rooms); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	for _, room := range rooms {
		if room.Name == m.room {
			return room.Subscribers
		}
	}
	return 0
}

func (m *mob) leave(t *testing.T) {
	t.Helper()
	for _, c := range m.clients {
		c.Close()
	}
	m.clients = nil
	chattest.Eventually(t, "the streams are gone", func() bool { return m.streams(t) == 0 })
}

// act has the clients do what they do, and returns the largest heap meanwhile.
func (m *mob) act(t *testing.T) (most int) {
	t.Helper()
	if m.isDeaf {
		for _, c := range m.clients {
			c.StopReading()
		}
	}
	for range 100 {
		m.site.Post(t, "/update?room="+m.room, strings.Repeat("x", 4000))
	}
	var sending sync.WaitGroup
	for _, c := range m.clients {
		sending.Go(func() { m.send(c) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sending.Wait()
	}()
	for {
		select {
		case <-done:
			return max(most, m.site.usage(t).heap)
		case <-time.After(100 * time.Millisecond):
			most = max(most, m.site.usage(t).heap)
		}
	}
}

// send sends what a client does, many frames at a time, until the server takes no more.
func (g *greed) send(c *chattest.HTTP2) {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(3 * time.Second))
	var b bytes.Buffer
	w := http2.NewFramer(&b, nil)
	w.AllowIllegalWrites = true
	for i := range g.frames {
		_ = g.frame(c, w, i)
		if b.Len() > 8<<10 || i == g.frames-1 {
			if !c.Write(func(*http2.Framer) error {
				_, err := c.Conn.Write(b.Bytes())
				return err
			}) {
				return
			}
			b.Reset()
		}
	}
}
