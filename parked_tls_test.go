package ssechat

import (
	"bufio"
	"crypto/tls"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
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

// OpenSSL changes the keys of both directions at a K, and shows what it is sent.
func TestAParkedStreamOutlivesNewKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	s := caddytest.ServeOver(t, "https", "")
	cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", s.Addr, "-servername", "localhost", "-tls1_3", "-alpn", "http/1.1", "-msg")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	timer := time.AfterFunc(chattest.Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	await := func(what string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), what) {
				return
			}
		}
		t.Fatalf("no %q: %v", what, lines.Err())
	}
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(in, text); err != nil {
			t.Fatal(err)
		}
	}
	write("GET /subscribe HTTP/1.1\r\nHost: localhost\r\n\r\n")
	await("retry: 10000")
	waitParked(t, hubOf(t, "default"), 1)
	for range 2 {
		write("K\n")
		await(">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
		await("<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
		m := s.Post(t, "/update", "with new keys")
		await("id: " + m.ID)
	}
}
