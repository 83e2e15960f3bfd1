package h2tap

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Windows that change while streams write, also to less than what was sent, are kept
// to, and all arrives once and in order.
func TestWindowsThatChange(t *testing.T) {
	s := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, counted(100_000))
	})
	random := rand.New(rand.NewPCG(1, 2))
	const start = 100_000
	c := chattest.DialHTTP2(t, s.addr, chattest.HTTP2Windows{Connection: 1 << 20, Stream: start})
	const streams = 8
	want := counted(200_000)
	var writers sync.WaitGroup
	for i := range uint32(streams) {
		o := s.stream(t, c, 2*i+1)
		random := rand.New(rand.NewPCG(1, uint64(i)))
		writers.Go(func() {
			for rest := []byte(want); len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(40_000))
				if !o.write(t, rest[:n]) {
					t.Errorf("stream %d ends", o.id)
					return
				}
				rest = rest[n:]
			}
			o.End(true)
		})
	}
	for i := range uint32(streams) {
		c.Get(2*(i+streams)+1, "/download")
	}
	for done := false; !done; {
		done = true
		for i := range uint32(2 * streams) {
			if got := c.Stream(2*i + 1); !got.IsEnded {
				done = false
				c.Grant(2*i+1, 1+random.IntN(20_000))
			}
		}
		if c.Left() < 1<<19 {
			c.Grant(0, 1+random.IntN(300_000))
		}
		// the client counts with the larger of two windows until the server knows
		if acks := c.Acks(); random.IntN(3) == 0 {
			c.SetWindow(random.IntN(2 * start))
			chattest.Eventually(t, "settings are acknowledged", func() bool { return c.Acks() > acks || c.Err() != nil })
		}
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
	}
	writers.Wait()
	for i := range uint32(2 * streams) {
		got, want := c.Stream(2*i+1).Body, counted(100_000)
		if i < streams {
			want = "begin " + counted(200_000)
		}
		if got != want {
			t.Errorf("stream %d has %d bytes, not the %d that were written", 2*i+1, len(got), len(want))
		}
	}
}

// counted returns numbers of n bytes together, so that no two parts are the same.
func counted(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}
