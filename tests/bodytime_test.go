package tests

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// An exit does not wait for a body that does not come, whatever path it is sent
// to and however.
func TestExitWithHalfSentBodies(t *testing.T) {
	for _, test := range []struct {
		name, scheme string
		transport    http.RoundTripper
	}{
		{"HTTP/1.1", "http", &http.Transport{}},
		{"HTTP/1.1 over TLS", "https", &http.Transport{TLSClientConfig: chattest.InsecureTLS(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}},
		{"HTTP/2", "https", &http.Transport{TLSClientConfig: chattest.InsecureTLS(), Protocols: chattest.OnlyHTTP2()}},
		{"HTTP/3", "https", &http3.Transport{TLSClientConfig: chattest.InsecureTLS()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := chattest.FreeAddr(t)
			_, port, _ := net.SplitHostPort(addr)
			url := "http://" + addr
			if test.scheme == "https" {
				url = "https://localhost:" + port
			}
			p := caddytest.Start(t, url, "sse_chat\nhandle_errors {\nrespond oops\n}")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan string, 4)
			var halves []*io.PipeWriter
			for _, path := range []string{"POST /update", "POST /update?room=", "GET /history", "GET /subscribe"} {
				method, path, _ := strings.Cut(path, " ")
				body, half := io.Pipe()
				halves = append(halves, half)
				request, err := http.NewRequestWithContext(ctx, method, url+path, body)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					response, err := test.transport.RoundTrip(request)
					if err == nil {
						_, _ = io.Copy(io.Discard, response.Body)
						response.Body.Close()
					}
					ended <- path
				}()
				// when it is taken, the request is under way
				if _, err := half.Write([]byte(`{"text":"`)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Fatal(err)
				}
			}
			// what came after these has come, so they have
			p.Post(t, "/update", "x")
			d := p.Terminate(t)
			t.Logf("the exit took %s", d)
			if d > 10*time.Second {
				t.Errorf("the exit took %s", d)
			}
			for _, half := range halves {
				_ = half.Close() // the client would wait for the rest, too
			}
			for range 4 {
				select {
				case <-ended:
				case <-time.After(chattest.Patience):
					t.Fatal("a request has not ended with the process")
				}
			}
		})
	}
}

// Nor for one that began under an earlier configuration.
func TestExitWithAHalfSentBodyOfAnEarlierConfiguration(t *testing.T) {
	addr := chattest.FreeAddr(t)
	p := caddytest.StartAdmin(t, chattest.FreeAddr(t), "http://"+addr, "sse_chat")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /update HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", addr)
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "100 Continue") {
		t.Fatalf("%q, %v, want that the body is read", buf[:n], err)
	}
	p.Load(t, "http://"+addr+" {\nsse_chat {\nheartbeat 1s\n}\n}\n")
	if d := p.Terminate(t); d > 10*time.Second {
		t.Errorf("the exit took %s", d)
	}
	_ = conn.SetReadDeadline(time.Now().Add(chattest.Patience))
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "send the message again") {
		t.Errorf("the publisher was told %q", answer)
	}
}

// A refusal does not wait for the rest of a body.
func TestAHalfSentBodyThatIsRefusedIsAnsweredSoon(t *testing.T) {
	s := caddytest.Serve(t, "")
	for _, request := range []string{"POST /update?room=", "PUT /update", "GET /history", "GET /subscribe"} {
		conn := s.Dial(t)
		begin := time.Now()
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\nx", request, s.Addr)
		_ = conn.SetReadDeadline(time.Now().Add(chattest.Patience))
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 ") {
			t.Errorf("%s: %q, %v", request, buf[:n], err)
		}
		if d := time.Since(begin); d > 15*time.Second {
			t.Errorf("%s: answered after %s", request, d)
		}
		conn.Close()
	}
}
