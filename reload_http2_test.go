package ssechat

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// A connection over HTTP/2 whose handshake a reload overtakes is told to go away.
// Otherwise its client would come back to the old configuration for good, which only
// sends it away again.
func TestAReloadOvertakesAHandshake(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		t.Run("park "+park, func(t *testing.T) {
			block := func(n int) string { return fmt.Sprintf("header X-Change %d\nsse_chat {\npark %s\n}", n, park) }
			s := caddytest.ServeHTTP2(t, block(1))
			socket, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			// connections are accepted in order, so that this one was accepted too
			early := chattest.DialHTTP2(t, s.Addr, chattest.LargeWindows)
			early.Get(1, "/subscribe")
			early.Until(t, 1, "retry: ")
			caddytest.Load(t, s, block(2))
			chattest.Eventually(t, "the old server shuts down", func() bool { return early.GoAway() != nil })

			config := chattest.InsecureTLS()
			config.NextProtos = []string{"h2"}
			late := chattest.NewHTTP2(t, tls.Client(socket, config), chattest.LargeWindows)
			late.Get(1, "/subscribe")
			chattest.Eventually(t, "it is told", func() bool { return late.GoAway() != nil })
			if code := *late.GoAway(); code != http2.ErrCodeNo {
				t.Errorf("it is told %s, want %s", code, http2.ErrCodeNo)
			}
		})
	}
}
