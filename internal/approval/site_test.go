package approval

import (
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// Questions to a site that accepts connections and says nothing leave nothing behind.
func TestASiteThatSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+chattest.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	before := runtime.NumGoroutine()
	s := newSite(100 * time.Millisecond)
	for range 3 {
		var group sync.WaitGroup
		for range maxWaiting {
			group.Go(func() {
				if _, err := s.ask(t.Context(), "https://"+listener.Addr().String(), make(http.Header), nil, 100); err == nil {
					t.Error("there is an answer")
				}
			})
		}
		group.Wait()
	}
	chattest.Eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+5 })
}
