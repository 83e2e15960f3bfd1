package recipes

import (
	"crypto/tls"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// HTTPS offers HTTP/2 and HTTP/3; streams work over each.
func TestHTTPS(t *testing.T) {
	port := chattest.FreePort(t)
	url := "https://localhost:" + port
	runCaddy(t, url, recipe(t, "https.Caddyfile", "chat.example.com", "localhost:"+port))
	config := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } //nolint:gosec // the certificate is the test's own
	h3 := &http3.Transport{TLSClientConfig: config()}
	defer h3.Close()
	h2 := &http.Transport{TLSClientConfig: config(), ForceAttemptHTTP2: true}
	defer h2.CloseIdleConnections()
	h1 := &http.Transport{TLSClientConfig: config(), Protocols: new(http.Protocols)}
	h1.Protocols.SetHTTP1(true)
	defer h1.CloseIdleConnections()
	for proto, transport := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2.0": h2, "HTTP/3.0": h3} {
		t.Run(proto, func(t *testing.T) {
			client := &http.Client{Transport: transport}
			s := subscribeWith(t, client, url+"/subscribe")
			defer s.Close()
			if s.Response.Proto != proto {
				t.Errorf("the stream came over %s", s.Response.Proto)
			}
			if a := doWith(t, client, http.MethodPost, url+"/update", text("over "+proto)); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			s.Line(t, "over "+proto)
			if a := doWith(t, client, http.MethodGet, url+"/", ""); proto != "HTTP/3.0" && !strings.Contains(a.Header.Get("Alt-Svc"), "h3=") {
				t.Errorf("browsers are not told of HTTP/3: %v", a.Header)
			}
		})
	}
	// without TLS nothing is answered
	if a := do(t, http.MethodGet, "http://localhost:"+port+"/history", ""); a.Status != http.StatusBadRequest {
		t.Errorf("without TLS: %d %s", a.Status, a.Body)
	}
}

func TestTwoSitesOneHub(t *testing.T) {
	www, desk := freeURL(t), freeURL(t)
	runCaddy(t, www, recipe(t, "two-sites.Caddyfile", "www.example.com", www, "desk.example.com", desk))
	kim := login("kim", "hiccup")

	s := subscribe(t, www+"/subscribe")
	want(t, http.StatusUnauthorized, http.MethodPost, desk+"/update", text("fake"))
	want(t, http.StatusNotFound, http.MethodPost, www+"/update", text("fake"))
	want(t, http.StatusNotFound, http.MethodPost, www+"/update", text("fake"), kim)
	want(t, http.StatusUnauthorized, http.MethodGet, desk+"/subscribe", "")
	want(t, http.StatusOK, http.MethodPost, desk+"/update?room=desk", text("among us"), kim)
	for _, path := range []string{"/subscribe?room=desk", "/subscribe?room=lobby&room=desk", "/subscribe?room=%64esk", "/history?room=desk"} {
		want(t, http.StatusForbidden, http.MethodGet, www+path, "")
	}
	want(t, http.StatusOK, http.MethodPost, desk+"/update", text("real"), kim)
	if line := s.Line(t, "data:"); !strings.Contains(line, `"real"`) || !strings.Contains(line, `"name":"kim"`) {
		t.Errorf("a reader of the other site got %s", line)
	}
	if a := want(t, http.StatusOK, http.MethodGet, www+"/history", ""); strings.Contains(a.Body, "fake") {
		t.Errorf("history: %s", a.Body)
	}
}

// The page in the binary is the one in the folder.
func TestThePageInTheBinary(t *testing.T) {
	url := freeURL(t)
	runCaddy(t, url, recipe(t, "page.Caddyfile", "chat.example.com", url))
	wantPage(t, url)
	want(t, http.StatusNotFound, http.MethodGet, url+"/none.js", "")
	want(t, http.StatusOK, http.MethodPost, url+"/update", text("x"))
}

// wantPage fails unless a site serves the page and browsers can revalidate it.
func wantPage(t *testing.T, url string) {
	t.Helper()
	for path, file := range map[string]string{"/": "index.html", "/script.js": "script.js", "/style.css": "style.css", "/favicon.ico": "favicon.ico"} {
		content, err := os.ReadFile(root + "/public/" + file)
		if err != nil {
			t.Fatal(err)
		}
		a := want(t, http.StatusOK, http.MethodGet, url+path, "", "Accept-Encoding: identity")
		if a.Body != string(content) {
			t.Errorf("GET %s is not public/%s", path, file)
		}
		if a.Header.Get("Etag") == "" || a.Header.Get("Last-Modified") == "" {
			t.Errorf("GET %s: %v", path, a.Header)
		}
		want(t, http.StatusNotModified, http.MethodGet, url+path, "", "If-None-Match: "+a.Header.Get("Etag"), "Accept-Encoding: identity")
	}
}
