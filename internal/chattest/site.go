package chattest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Site is a way to a chat, or to an admin API.
type Site struct {
	// Addr is its host and port, for those who dial it themselves.
	Addr string
	// URL has no slash at the end.
	URL string
	// Client has no time limit: streams are ended by the tests' contexts.
	Client *http.Client
}

// At returns a site that is reached through a client.
func At(url string, client *http.Client) *Site {
	_, addr, _ := strings.Cut(url, "://")
	if port, ok := strings.CutPrefix(addr, "localhost:"); ok {
		addr = "127.0.0.1:" + port
	}
	return &Site{Addr: addr, URL: url, Client: client}
}

// Do sends a request and reads its answer. Header fields are "Name: value".
func (s *Site) Do(t testing.TB, method, path, body string, header ...string) Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	response := s.Send(t, ctx, method, path, body, header...)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return Answer{response.StatusCode, response.Header, string(got)}
}

// Send sends a request and returns the answer, whose body the caller closes. It
// repeats the request when a reload has reset its connection.
func (s *Site) Send(t testing.TB, ctx context.Context, method, path, body string, header ...string) *http.Response {
	t.Helper()
	for begin := time.Now(); ; {
		var reader io.Reader
		if body != "" {
			reader = strings.NewReader(body)
		}
		request, err := http.NewRequestWithContext(ctx, method, s.URL+path, reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range header {
			name, value, _ := strings.Cut(field, ": ")
			request.Header.Add(name, value)
			if name == "Host" {
				request.Host = value
			}
		}
		response, err := s.Client.Do(request)
		if err == nil {
			return response
		}
		// a reload resets connections that its old server has not taken yet,
		// and closes idle ones that may just be taken for this request
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || time.Since(begin) > Patience {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// Post publishes a text and returns what is stored.
func (s *Site) Post(t testing.TB, path, text string) Message {
	t.Helper()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		t.Fatal(err)
	}
	a := s.Do(t, http.MethodPost, path, string(body))
	if a.Status != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, a.Status, a.Body)
	}
	return a.Stored(t)
}

// Ready waits until the site has its certificate.
func (s *Site) Ready(t testing.TB) {
	t.Helper()
	Eventually(t, "the site answers", func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
}

// Dial opens a plain connection, which the caller closes.
func (s *Site) Dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// History returns the newest messages of a room, at most 200, the oldest first.
func (s *Site) History(t testing.TB, room string) []Message {
	t.Helper()
	var page struct{ Messages []Message }
	s.Do(t, http.MethodGet, "/history?limit=200&room="+url.QueryEscape(room), "").Decode(t, &page)
	return page.Messages
}

// IsServed opens a stream and reports whether it is one, or is told to come
// back later.
func (s *Site) IsServed(t testing.TB, header ...string) (*Stream, bool) {
	t.Helper()
	c := s.Stream(t, "/subscribe", header...)
	return c, strings.HasPrefix(c.Until(t, "retry: "), ":ok")
}
