package ssechat

import (
	"crypto/tls"
	"io"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// A client may say in TLS that it goes, and leave its connection open.
func TestAParkedStreamEndsWithCloseNotify(t *testing.T) {
	s := caddytest.ServeOver(t, "https", "")
	b := hubOf(t, "default")
	r := s.RawStream(t, "1.1", "/subscribe")
	waitParked(t, b, 1)
	if err := r.Conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	waitParked(t, b, 0)
	if reasons := b.Counts.Closed.ByReason(); reasons[hub.EndClient] != 1 {
		t.Errorf("closed: %v", reasons)
	}
}

// What a client sends on a parked stream's connection is read and thrown away,
// but not without end.
func TestAParkedStreamWhoseClientTalks(t *testing.T) {
	s := caddytest.ServeOver(t, "https", "")
	b := hubOf(t, "default")
	r := s.RawStream(t, "1.1", "/subscribe")
	waitParked(t, b, 1)
	for range 3 {
		if _, err := io.WriteString(r.Conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		m := s.Post(t, "/update", "x")
		r.Until(t, "\nid: "+m.ID+"\n")
	}
	for range 1000 {
		if _, err := r.Conn.Write(make([]byte, 1<<10)); err != nil {
			break
		}
	}
	waitParked(t, b, 0)
}
