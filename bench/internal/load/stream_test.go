package load

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	answerHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	firstBytes = ":ok\nretry: 10000\n"
)

// events returns n events with times.
func events(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "id: %d\ndata: {\"text\":\"%s%019d xx\"}\n\n", i, stamp, i+1)
	}
	return b.String()
}

// However the data is split, all events are counted and parsed.
func TestEventsAreCountedWhereverTheyAreCut(t *testing.T) {
	const n = 5
	var chunked strings.Builder
	for part := range strings.SplitAfterSeq(events(n), "\n\n") {
		fmt.Fprintf(&chunked, "%x\r\n%s\r\n", len(part), part)
	}
	for name, answer := range map[string]string{
		"whole":   answerHead + firstBytes + events(n),
		"chunked": answerHead + firstBytes + chunked.String(),
	} {
		t.Run(name, func(t *testing.T) { countInPieces(t, []byte(answer), n, func() *stream { return new(stream) }) })
	}
	t.Run("HTTP/2", func(t *testing.T) {
		countInPieces(t, http2Answer(t, "200", firstBytes+events(n)), n, func() *stream { return &stream{frames: new(frames)} })
	})
}

func countInPieces(t *testing.T, answer []byte, n int, open func() *stream) {
	for size := 1; size <= len(answer); size++ {
		s, r, got := open(), new(Readers), 0
		s.sample = &sample{readers: r}
		for rest := answer; len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			found, err := s.feed(bytes.Clone(piece), time.Now().UnixNano(), 1)
			if err != nil {
				t.Fatalf("in pieces of %d bytes: %v", size, err)
			}
			got += found
		}
		if got != n || s.sample.count != n || len(r.latencies[1]) != n || !s.opened {
			t.Fatalf("in pieces of %d bytes: %d events, %d stamps, %d latencies, opened: %t; want %d of each", size, got, s.sample.count, len(r.latencies[1]), s.opened, n)
		}
	}
}

// http2Answer is what a server sends, with DATA frames of 100 bytes.
func http2Answer(t *testing.T, status, body string) []byte {
	t.Helper()
	var block, answer bytes.Buffer
	if err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: status}); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(&answer, nil)
	_ = framer.WriteSettings()
	_ = framer.WriteSettingsAck()
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	for len(body) > 0 {
		n := min(100, len(body))
		_ = framer.WriteData(1, false, []byte(body[:n]))
		body = body[n:]
	}
	return answer.Bytes()
}

func TestRefusalsAreErrors(t *testing.T) {
	s := new(stream)
	if _, err := s.feed([]byte("HTTP/1.1 503 Service Unavailable\r\n\r\n"), 0, 0); err == nil {
		t.Error("503 was taken over HTTP/1.1")
	}
	s = &stream{frames: new(frames)}
	if _, err := s.feed(http2Answer(t, "503", ""), 0, 0); err == nil {
		t.Error("503 was taken over HTTP/2")
	}
}

func TestOrderIsOneOnlyIfItIs(t *testing.T) {
	order := func(texts ...string) *stream {
		s := &stream{sample: &sample{readers: new(Readers)}}
		s.sample.feed([]byte(strings.Join(texts, "")), 0, 0)
		return s
	}
	one, two := fmt.Sprintf("%s%019d ", stamp, 1), fmt.Sprintf("%s%019d ", stamp, 2)
	r := &Readers{streams: []*stream{order(one, two), order(one, two), new(stream)}}
	if got := r.Orders(); got != 1 {
		t.Errorf("%d orders of the same messages, want 1", got)
	}
	r.streams = append(r.streams, order(two, one))
	if got := r.Orders(); got != 2 {
		t.Errorf("%d orders of messages in two orders, want 2", got)
	}
}

func TestAnswersAreTakenWhenTheyAreWhole(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	} {
		for i := range answer {
			if done, err := complete([]byte(answer[:i])); done || err != nil {
				t.Errorf("%q: %t, %v; want to wait", answer[:i], done, err)
			}
		}
		if done, err := complete([]byte(answer)); !done || err != nil {
			t.Errorf("%q: %t, %v; want it taken", answer, done, err)
		}
	}
	if _, err := complete([]byte("HTTP/1.1 429 Too Many Requests\r\n\r\n")); err == nil {
		t.Error("429 was taken")
	}
}

func TestPercentile(t *testing.T) {
	var latencies []time.Duration
	for i := range 100 {
		latencies = append(latencies, time.Duration(100-i)*time.Millisecond)
	}
	if got := Percentile(latencies, 0.99); got != 100 {
		t.Errorf("p99 of 1 to 100 ms is %g ms, want 100", got)
	}
	if got := Percentile(nil, 0.99); got != 0 {
		t.Errorf("p99 of nothing is %g, want 0", got)
	}
}
