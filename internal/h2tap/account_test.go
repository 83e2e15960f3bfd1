package h2tap

import (
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Whatever is granted and sent, in whatever order, the server's part and the reserve
// are together what the client has granted less what was sent, and the server has its
// share as long as there is one.
func TestTheAccountAgreesWithTheClient(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		a := account{server: initialWindow, most: initialWindow}
		client, told := initialWindow, initialWindow // what each believes
		for range 1000 {
			switch n := random.IntN(1 << (1 + random.IntN(22))); random.IntN(4) {
			case 0:
				before := a
				switch ok := a.grant(n + 1); {
				case ok:
					client += n + 1
				case client+n+1 <= maxWindow || a != before:
					t.Fatalf("a grant of %d to %d is refused", n+1, client)
				}
			case 1:
				n = min(n, told)
				told -= n
				client -= n
				a.serverSent(n)
			case 2:
				n = min(n, a.reserve)
				client -= n
				a.reserve -= n
			case 3:
				told += a.takeOwed()
			}
			if a.server+a.reserve != client || a.server < 0 || a.reserve < 0 || told+a.owed != a.server {
				t.Fatalf("seed %d: %+v, the client has %d, the server believes %d", seed, a, client, told)
			}
			if a.reserve > 0 && a.server < a.share()/2 {
				t.Fatalf("seed %d: the server waits while there is a reserve: %+v", seed, a)
			}
		}
	}
}

// A client that grants more only once half of a window is used gets all: if only the
// server sends, if only streams do, and if both do.
func TestNothingStallsWhileHalfOfAWindowIsUsed(t *testing.T) {
	const download = 20 << 20
	s := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, download))
	})
	for _, test := range []struct {
		name    string
		windows chattest.HTTP2Windows
	}{
		{"as Chromium", chattest.HTTP2Windows{Connection: 15 << 20, Stream: 6 << 20, AsUsed: true}},
		{"as Firefox", chattest.HTTP2Windows{Connection: 12 << 20, Stream: 128 << 10, AsUsed: true}},
		{"the least", chattest.HTTP2Windows{Connection: leastToShare, Stream: 64 << 10, AsUsed: true}},
		{"the least, and a larger one for streams", chattest.HTTP2Windows{Connection: leastToShare, Stream: 1 << 20, AsUsed: true}},
	} {
		for _, load := range []struct {
			name    string
			server  int // number of downloads
			streams int
		}{{"server", 1, 1}, {"streams", 0, 4}, {"one stream", 0, 1}, {"both", 2, 3}} {
			t.Run(test.name+", "+load.name, func(t *testing.T) {
				c := chattest.DialHTTP2(t, s.addr, test.windows)
				id := uint32(1)
				var writers sync.WaitGroup
				each := download / 4
				if load.streams == 1 && load.server == 1 {
					each = 10 // it is there, but has little to say
				}
				want := make(map[uint32]int)
				for range load.streams {
					o := s.stream(t, c, id)
					want[id] = len("begin ") + each
					id += 2
					writers.Go(func() {
						if o.write(t, make([]byte, each)) {
							o.End(true)
						}
					})
				}
				for range load.server {
					c.Get(id, "/download")
					want[id] = download
					id += 2
				}
				for id, n := range want {
					if got := c.Ended(t, id); !got.IsEnded || len(got.Body) != n {
						t.Errorf("stream %d has %d bytes of %d (ended: %t, reset: %v), %v", id, len(got.Body), n, got.IsEnded, got.Reset, c.Err())
					}
				}
				writers.Wait()
			})
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
