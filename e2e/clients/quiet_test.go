package clients

import (
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// With a heartbeat of 4 s, clients keep their streams that end one by default if
// nothing comes for 5 s (httpx) or 10 s (OkHttp, on Android).
func TestAHeartbeatForReadTimeouts(t *testing.T) {
	t.Parallel()
	c := newChat(t, "on")
	c.block = strings.Replace(c.block, "heartbeat 1s", "heartbeat 4s", 1)
	c.start(t)
	p := newProxy(t, c.addr)
	impatient := map[string]client{"Python's httpx": python("with_httpx.py"), "OkHttp": java("okhttp")}
	readers := c.readers(t, p, impatient)
	chattest.Within(t, startup, "all have connected", func() bool { return c.subscribers(t) == len(readers) })
	c.publish(t, "first")
	c.seenByAll(t, readers)
	links := p.Links()
	time.Sleep(16 * time.Second) // what OkHttp waits for, and a heartbeat more
	for _, l := range links {
		select {
		case <-l.Ended:
			t.Error("a stream has ended")
		default:
		}
	}
	c.publish(t, "last")
	c.seenByAll(t, readers)
	for _, r := range readers {
		r.check(t, c.published())
	}
}
