package recipes

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// program returns the path of a program that make test installs.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		path := filepath.Join(dir, name)
		if _, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	t.Fatalf("no %s: apt-get install %s", name, name)
	return ""
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Behind each of these proxies nothing is buffered, readers resume, and limits see
// the clients' real addresses.
func TestBehindAProxy(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, listen, target string) *process{
		"nginx": func(t *testing.T, listen, target string) *process {
			return runNginx(t, recipe(t, "nginx.conf", "listen 80;", "listen 127.0.0.1:"+listen+";", "127.0.0.1:3000", "127.0.0.1:"+target))
		},
		"HAProxy": func(t *testing.T, listen, target string) *process {
			config := recipe(t, "haproxy.cfg", "bind :80", "bind 127.0.0.1:"+listen, "127.0.0.1:3000", "127.0.0.1:"+target)
			return start(t, nil, program(t, "haproxy"), "-db", "-f", writeFile(t, "haproxy.cfg", config))
		},
		"Varnish": runVarnish,
		"another Caddy": func(t *testing.T, listen, target string) *process {
			config := recipe(t, "front.Caddyfile", "chat.example.com", "http://localhost:"+listen, "127.0.0.1:3000", "127.0.0.1:"+target)
			return runCaddy(t, "http://localhost:"+listen, config).process
		},
	} {
		t.Run(name, func(t *testing.T) {
			target, listen := chattest.FreePort(t), chattest.FreePort(t)
			inner := runCaddy(t, "http://127.0.0.1:"+target, recipe(t, "behind-proxy.Caddyfile", ":3000", ":"+target))
			url := "http://localhost:" + listen
			start(t, listen, target).waitFor(t, url)

			// a browser sends the page's origin, which must match the host that
			// the chat sees
			s := subscribe(t, url+"/subscribe?events=1")
			s.Line(t, "event: live")
			want(t, http.StatusOK, http.MethodPost, url+"/update", text("first"), "Origin: "+url)
			id := strings.TrimPrefix(s.Line(t, "id: "), "id: ")
			s.Line(t, "first")
			want(t, http.StatusForbidden, http.MethodPost, url+"/update", text("fake"), "Origin: https://evil.example.com")
			want(t, http.StatusOK, http.MethodPost, url+"/update", text("second"))
			s.Line(t, "second")
			resumed := subscribe(t, url+"/subscribe", "Last-Event-ID: "+id)
			if line := resumed.Line(t, "data:"); !strings.Contains(line, "second") {
				t.Errorf("the resumed stream got %s", line)
			}
			if a := want(t, http.StatusOK, http.MethodGet, url+"/", ""); !strings.Contains(a.Body, "<html") {
				t.Errorf("the page is %.100q", a.Body)
			}
			// a client at its limit affects no other and cannot pose as another;
			// its address is not the proxy's
			post := func(url, ip string, header ...string) int {
				return doWith(t, from(ip), http.MethodPost, url+"/update", text("x"), header...).Status
			}
			for i := range 31 {
				if status := post(url, "127.0.0.2"); (status == http.StatusOK) != (i < 30) {
					t.Errorf("message %d of a client: %d", i+1, status)
				}
			}
			if status := post(url, "127.0.0.2", "X-Forwarded-For: 192.0.2.1"); status != http.StatusTooManyRequests {
				t.Errorf("one who poses as another: %d", status)
			}
			if status := post(url, "127.0.0.3"); status != http.StatusOK {
				t.Errorf("another client: %d", status)
			}
			// nor can a client that bypasses the proxy
			past := "http://127.0.0.1:" + target
			for i := range 30 {
				post(past, "127.0.0.4", fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", i))
			}
			if status := post(past, "127.0.0.4", "X-Forwarded-For: 192.0.2.99"); status != http.StatusTooManyRequests {
				t.Errorf("one who comes past the proxy: %d", status)
			}
			// the end of a stream arrives too
			inner.stop(t, syscall.SIGTERM)
			if last := lastLine(t, resumed); !strings.HasPrefix(last, "retry: ") {
				t.Errorf("the stream ends with %q", last)
			}
		})
	}
}
