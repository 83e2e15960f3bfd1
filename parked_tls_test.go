package ssechat

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
)

// serveTLS starts a site over TLS, of which clients speak HTTP/1.1.
func serveTLS(t *testing.T, options string) *site {
	t.Helper()
	addr := freeAddr(t)
	if err := loadCaddyfile(t, caddyfileFor("https", addr, options)); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	s := &site{addr: addr, url: "https://localhost:" + port, client: &http.Client{Transport: &http.Transport{TLSClientConfig: insecure()}}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.ready(t)
	return s
}

// A client may say in TLS that it goes, and leave its connection open.
func TestAParkedStreamEndsWithCloseNotify(t *testing.T) {
	s := serveTLS(t, "")
	b := hubOf(t, "default")
	r := s.rawStream(t, "1.1", "/subscribe")
	waitParked(t, b, 1)
	if err := r.conn.(*tls.Conn).CloseWrite(); err != nil {
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
	s := serveTLS(t, "")
	b := hubOf(t, "default")
	r := s.rawStream(t, "1.1", "/subscribe")
	waitParked(t, b, 1)
	for range 3 {
		if _, err := io.WriteString(r.conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		m := s.post(t, "/update", "x")
		r.until(t, "\nid: "+m.ID+"\n")
	}
	for range 1000 {
		if _, err := r.conn.Write(make([]byte, 1<<10)); err != nil {
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
	s := serveTLS(t, "")
	cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", s.addr, "-servername", "localhost", "-tls1_3", "-alpn", "http/1.1", "-msg")
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
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
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
		m := s.post(t, "/update", "with new keys")
		await("id: " + m.ID)
	}
}
