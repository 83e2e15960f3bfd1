package chattest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// NewServerAt returns a server that listens at an address, and is still to be started and
// closed.
func NewServerAt(t testing.TB, addr string, handler http.Handler) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = listener
	return s
}
