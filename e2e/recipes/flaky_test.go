package recipes

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// flakyNetwork is between browsers and a site.
type flakyNetwork struct {
	url    string
	cut    func()       // ends all connections
	status atomic.Int32 // of the answers to requests for streams, in place of the site's, if not 0
	failed atomic.Int32 // how many requests got it
}

func newFlakyNetwork(t *testing.T, site string) *flakyNetwork {
	t.Helper()
	target, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	n := new(flakyNetwork)
	carry := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := n.status.Load()
		if status == 0 || r.URL.Path != "/subscribe" {
			carry.ServeHTTP(w, r)
			return
		}
		http.Error(w, "<li>an error", int(status))
		n.failed.Add(1)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	n.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	n.cut = server.CloseClientConnections
	return n
}

// refuses waits until a stream is refused, has something done, and carries streams again.
func (n *flakyNetwork) refuses(t *testing.T, during func()) {
	t.Helper()
	chattest.Eventually(t, "a stream is refused", func() bool { return n.failed.Load() > 0 })
	during()
	n.status.Store(0)
	n.failed.Store(0)
}
