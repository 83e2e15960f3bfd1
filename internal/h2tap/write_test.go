package h2tap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// What the client reads are whole frames, however the server's writes are split and
// whatever streams write meanwhile. The server's end of a stream that was taken is
// dropped, and what is the stream's own comes after it, once, in order, and ends it.
func TestWhatTheClientReads(t *testing.T) {
	for _, split := range []int{1, 10, 4 << 10, 40 << 10} {
		t.Run(fmt.Sprint(split), func(t *testing.T) { testWhatTheClientReads(t, split) })
	}
}

func testWhatTheClientReads(t *testing.T, split int) {
	server, client := pair(t)
	c := newConn(server, 0, defaultMaxStreams)
	c.account = account{server: 1 << 29, reserve: 1 << 29, most: 1 << 30}
	const taken, others = 6, 3
	want := make(map[uint32]string)
	owners := make([]*owner, taken)
	for i := range owners {
		id := uint32(2*i + 1)
		s := &Stream{conn: c, id: id, window: 1 << 30}
		c.streams[id] = streamState{taken: s}
		c.taken++
		owners[i] = own(s)
	}
	for i := range others {
		c.streams[uint32(2*(taken+i)+1)] = streamState{window: 1 << 30}
	}
	scale := min(split, 400) // so that it takes no longer if each byte is a write
	var writers sync.WaitGroup
	for _, o := range owners {
		own := fmt.Sprintf("own %d ", o.id) + counted(scale*500)
		want[o.id] = fmt.Sprintf("server's %d ", o.id) + own
		random := rand.New(rand.NewPCG(uint64(o.id), 3))
		writers.Go(func() {
			for rest := []byte(own); len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(scale*100))
				if !o.write(t, rest[:n]) {
					t.Errorf("stream %d ends", o.id)
				}
				rest = rest[n:]
			}
			o.End(o.id%4 == 1)
		})
	}
	writers.Go(func() {
		writeSplit(t, c, serverFrames(taken, others, scale, want), split)
		// the rest of the queue needs nobody else to write
	})
	got := readStreams(t, client, taken+others)
	writers.Wait()
	for id, want := range want {
		if got[id] != want {
			t.Errorf("stream %d has %.100q and so on, %d bytes, want %.100q, %d", id, got[id], len(got[id]), want, len(want))
		}
	}
}

// serverFrames returns what a server sends that has streams taken, and notes what of
// others it sends.
func serverFrames(taken, others, scale int, want map[uint32]string) []byte {
	random := rand.New(rand.NewPCG(1, uint64(scale)))
	var sent bytes.Buffer
	w := http2.NewFramer(&sent, nil)
	headers := func(id uint32) {
		block := make([]byte, 1+random.IntN(1000))
		n := random.IntN(len(block))
		isWhole := random.IntN(2) == 0
		if isWhole {
			n = len(block)
		}
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndHeaders: isWhole})
		if !isWhole {
			m := n + random.IntN(len(block)-n)
			_ = w.WriteContinuation(id, false, block[n:m])
			_ = w.WriteContinuation(id, true, block[m:])
		}
	}
	noise := func() {
		switch random.IntN(5) {
		case 0:
			_ = w.WritePing(true, [8]byte{1})
		case 1:
			_ = w.WriteSettingsAck()
		case 2:
			_ = w.WriteWindowUpdate(0, 100)
		}
		id := uint32(2*(taken+random.IntN(others)) + 1)
		text := strings.Repeat("x", random.IntN(scale*20))
		_ = w.WriteData(id, false, []byte(text))
		want[id] += text
	}
	for i := range taken + others {
		headers(uint32(2*i + 1))
	}
	for i := range taken {
		noise()
		id := uint32(2*i + 1)
		text := fmt.Sprintf("server's %d ", id)
		switch i % 3 {
		case 0:
			_ = w.WriteData(id, false, []byte(text))
			noise()
			_ = w.WriteData(id, true, nil)
		case 1:
			_ = w.WriteData(id, true, []byte(text))
		case 2:
			_ = w.WriteData(id, false, []byte(text))
			noise()
			_ = w.WriteRSTStream(id, http2.ErrCodeNo)
		}
	}
	for range 200 {
		noise()
	}
	for i := range others {
		headers(uint32(2*(taken+i) + 1))
		_ = w.WriteData(uint32(2*(taken+i)+1), true, nil)
	}
	return sent.Bytes()
}

// writeSplit writes what the server sends, at most n bytes at a time.
func writeSplit(t *testing.T, c *Conn, b []byte, n int) {
	random := rand.New(rand.NewPCG(2, uint64(n)))
	for len(b) > 0 {
		m := min(len(b), 1+random.IntN(n))
		if _, err := c.Write(b[:m]); err != nil {
			t.Error(err)
			return
		}
		b = b[m:]
	}
}

// readStreams reads until so many streams have ended, and returns their bytes.
func readStreams(t *testing.T, client interface{ Read([]byte) (int, error) }, n int) map[uint32]string {
	bodies := make(map[uint32]*strings.Builder)
	for i := range n {
		bodies[uint32(2*i+1)] = new(strings.Builder)
	}
	ended := make(map[uint32]bool)
	r := http2.NewFramer(nil, client)
	for len(ended) < n {
		f, err := r.ReadFrame()
		if err != nil {
			t.Fatal(err, r.ErrorDetail())
		}
		id := f.Header().StreamID
		if id != 0 && ended[id] {
			t.Fatalf("%v after the end", f)
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			bodies[id].Write(f.Data())
			if f.StreamEnded() {
				ended[id] = true
			}
		case *http2.RSTStreamFrame:
			if ended[id] = true; f.ErrCode != http2.ErrCodeCancel {
				t.Errorf("%v", f)
			}
		}
	}
	got := make(map[uint32]string)
	for id, body := range bodies {
		got[id] = body.String()
	}
	return got
}
