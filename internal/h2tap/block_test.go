package h2tap

import (
	"bytes"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A session that has seen no header block before reads what the client has sent, however
// the client has compressed, padded and split it.
func TestHeaderBlocksAreEncodedAnew(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 1))
	var compressed bytes.Buffer
	client := hpack.NewEncoder(&compressed)
	blocks := newBlocks()
	for i := range 500 {
		var want []hpack.HeaderField
		compressed.Reset()
		for range random.IntN(30) {
			f := hpack.HeaderField{
				Name:      fmt.Sprint("x-", random.IntN(20)),
				Value:     strings.Repeat("v", random.IntN(60)) + fmt.Sprint(random.IntN(5)),
				Sensitive: random.IntN(10) == 0,
			}
			want = append(want, f)
			_ = client.WriteField(f)
		}
		if i%50 == 49 {
			client.SetMaxDynamicTableSize(uint32(random.IntN(tableSize)))
		}
		collect(t, blocks, random, compressed.Bytes())
		isFirst := i < 250 && i%2 == 0
		frames, err := blocks.take(isFirst)
		if err != nil {
			t.Fatal(err)
		}
		if isFirst {
			continue // these are the client's own
		}
		framer := http2.NewFramer(nil, bytes.NewReader(frames))
		framer.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		h, ok := frame.(*http2.MetaHeadersFrame)
		if !ok || !h.StreamEnded() || h.StreamID != 7 {
			t.Fatalf("block %d is %v", i, frame)
		}
		if fmt.Sprint(h.Fields) != fmt.Sprint(want) {
			t.Fatalf("block %d: got %v, want %v", i, h.Fields, want)
		}
	}
	if blocks.isLost {
		t.Error("the client's table is lost")
	}
}

// collect has the blocks see the frames of one, with padding, priority and any number
// of CONTINUATIONs.
func collect(t *testing.T, b *blocks, random *mathrand.Rand, fragment []byte) {
	t.Helper()
	var sent bytes.Buffer
	w := http2.NewFramer(&sent, nil)
	n := random.IntN(len(fragment) + 1)
	if random.IntN(2) == 0 {
		n = len(fragment)
	}
	param := http2.HeadersFrameParam{StreamID: 7, BlockFragment: fragment[:n], EndStream: true, EndHeaders: n == len(fragment)}
	if random.IntN(2) == 0 {
		param.PadLength = uint8(random.IntN(20))
	}
	if random.IntN(2) == 0 {
		param.Priority = http2.PriorityParam{StreamDep: 3, Weight: 9}
	}
	_ = w.WriteHeaders(param)
	for rest := fragment[n:]; len(rest) > 0; rest = rest[n:] {
		n = 1 + random.IntN(len(rest))
		_ = w.WriteContinuation(7, n == len(rest), rest[:n])
	}
	for read := sent.Bytes(); len(read) > 0; {
		h, frame, rest := nextFrame(read)
		b.begin(h, frame[:headerLength])
		b.raw = append(b.raw, frame[headerLength:]...)
		b.end(h)
		read = rest
	}
}
