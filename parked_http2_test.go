package ssechat

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// Several streams of one connection over HTTP/2 that are parked end one by one, each
// for its own reason: with END_STREAM after a goodbye, by the client's reset, or with
// a reset. Each is logged, counted and gone from presence at its own end.
func TestParkedStreamsOfAConnectionEndEachByItself(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	_, port, _ := net.SplitHostPort(chattest.FreeAddr(t))
	config := fmt.Sprintf(`{%s}
		https://localhost:%s {
			bind 127.0.0.1
			log {
				output file %s
			}
			sse_chat /old/* {
				subscribe /old/subscribe
				max_age 3s
			}
			sse_chat {
				heartbeat 300ms
				write_timeout 1s
			}
		}`, caddytest.GlobalOptions(), port, log)
	if err := caddytest.LoadCaddyfile(t, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	s := chattest.At("https://localhost:"+port, &http.Client{Transport: &http.Transport{TLSClientConfig: chattest.InsecureTLS()}})
	t.Cleanup(s.Client.CloseIdleConnections)
	s.Ready(t)
	b := hubOf(t, "default")
	c := chattest.DialHTTP2(t, s.Addr, chattest.HTTP2Windows{Connection: 12 << 20, Stream: 4 << 10})
	const stays, kicked, aged, left, slow = 1, 3, 5, 7, 9
	paths := []string{ // of the streams in the order of their ids
		"/subscribe?events=1", "/subscribe?name=kim", "/old/subscribe?name=old", "/subscribe?name=left", "/subscribe?room=flood&name=slow",
	}
	for i, path := range paths {
		id := uint32(2*i + 1)
		c.Get(id, path, "user-agent", fmt.Sprint("reader ", id))
	}
	c.Grant(stays, 1<<20)
	waitParked(t, b, 5)
	chattest.Eventually(t, "one stays", func() bool { return strings.Contains(c.Stream(stays).Body, `"count":4`) })

	if end := c.Ended(t, aged); !end.IsEnded || !strings.Contains(end.Body, "\nretry: ") {
		t.Errorf("at its age a stream ends with %+v", end)
	}
	m := s.Post(t, "/update", "x")
	for _, id := range []uint32{stays, kicked, left} {
		c.Until(t, id, m.ID)
	}
	caddytest.API().EndStreams(t, "default", "name=kim")
	if end := c.Ended(t, kicked); !end.IsEnded {
		t.Errorf("a kicked stream ends with %+v", end)
	}
	c.Reset(left)
	for range 10 {
		s.Post(t, "/update?room=flood", strings.Repeat("x", 1000))
	}
	if end := c.Ended(t, slow); end.Reset == nil {
		t.Errorf("a stream that takes nothing ends with %+v", end)
	}
	c.Until(t, stays, `"count":1`)
	before := c.Stream(stays).Frames
	chattest.Eventually(t, "heartbeats come", func() bool { return c.Stream(stays).Frames > before+2 })
	waitParked(t, b, 1)
	if n := b.Counts.Subscribers.Load(); n != 1 {
		t.Errorf("%d readers", n)
	}
	reasons := b.Counts.Closed.ByReason()
	for _, reason := range []string{hub.EndKicked, hub.EndClient, hub.EndSlow, "max_age"} {
		if reasons[reason] != 1 {
			t.Errorf("%d streams ended for %s", reasons[reason], reason)
		}
	}
	c.Close()
	chattest.Eventually(t, "all are gone", func() bool { return b.Counts.Subscribers.Load() == 0 })
	for id, reason := range map[uint32]string{stays: "client", kicked: "kicked", aged: "max_age", left: "client", slow: "slow"} {
		checkParkedLine(t, log, c.Stream(id), fmt.Sprint("reader ", id), reason)
	}
}

// checkParkedLine compares the line of a stream in the access log with what its client
// got.
func checkParkedLine(t *testing.T, log string, got chattest.HTTP2Stream, agent, reason string) {
	t.Helper()
	lines := logLines(log, agent)
	if len(lines) != 1 {
		t.Errorf("%s is logged %d times: %q", agent, len(lines), lines)
		return
	}
	var line struct {
		Status, Size int
		Duration     float64
		Reason       string `json:"sse_reason"`
		Request      struct{ Proto string }
	}
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Status != http.StatusOK || line.Reason != reason || line.Request.Proto != "HTTP/2.0" || line.Duration < 0.1 || line.Duration > chattest.Patience.Seconds() {
		t.Errorf("%s is logged as %+v, want the reason %s", agent, line, reason)
	}
	if line.Size != len(got.Body) {
		t.Errorf("%s is logged with %d bytes, and the client got %d", agent, line.Size, len(got.Body))
	}
}
