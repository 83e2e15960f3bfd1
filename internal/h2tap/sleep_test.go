package h2tap

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
)

// echo answers with where the request came from, two of its fields and its body.
func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.RemoteAddr, " ", r.Header.Get("X-Number"), " ", len(r.Header.Get("X-Long")), " ")
	_, _ = io.Copy(w, r.Body)
}

// open opens a stream of Go's client and takes it.
func (s *site) open(t testing.TB) (io.ReadCloser, *owner) {
	t.Helper()
	response, err := s.Client().Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	read(t, response.Body, "begin ")
	return response.Body, <-s.taken
}

func read(t testing.TB, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("got %.40q, %v, want %.40q", got, err, want)
	}
}

// sleep has the session of a stream's connection end.
func sleep(t testing.TB, c *Conn) {
	t.Helper()
	chattest.Eventually(t, "the session ends", func() bool {
		c.tire()
		return c.phase.Load() == phaseResting
	})
}

// A session ends and begins anew as often as it is needed, and neither streams nor
// requests notice.
func TestASessionSleeps(t *testing.T) {
	s := serve(t, nil, echo)
	body, stream := s.open(t)
	var addr string
	for i := range 40 {
		sleep(t, stream.conn)
		for j := range 3 {
			message := fmt.Sprint(i, " ", j, strings.Repeat("x", i*100), "\n")
			stream.write(t, []byte(message))
			read(t, body, message)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(strings.Repeat("y", i*10_000)))
		if err != nil {
			t.Fatal(err)
		}
		// some fields are in the client's table from then on, some are not
		request.Header.Set("X-Number", fmt.Sprint(i))
		request.Header.Set("X-Same", "always the same")
		request.Header.Set("X-Long", strings.Repeat("z", i*500))
		response, err := s.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		from, rest, _ := strings.Cut(string(got), " ")
		if addr == "" {
			addr = from
		}
		if want := fmt.Sprint(i, " ", i*500, " ", strings.Repeat("y", i*10_000)); rest != want || from != addr {
			t.Fatalf("got %.40q from %s, want %.40q from %s", rest, from, want, addr)
		}
	}
	stream.End(true)
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("the stream ends with %q, %v", rest, err)
	}
}

// Streams survive the end of a server whose session sleeps, and end when asked to.
func TestASleepingSessionGoesAway(t *testing.T) {
	s := serve(t, nil, nil)
	body, stream := s.open(t)
	sleep(t, stream.conn)
	shutdown := make(chan error, 1)
	go func() { shutdown <- s.Config.Shutdown(t.Context()) }()
	chattest.Eventually(t, "the client is told", func() bool {
		stream.conn.mu.Lock()
		defer stream.conn.mu.Unlock()
		return stream.conn.leaving
	})
	stream.write(t, []byte("still here"))
	read(t, body, "still here")
	stream.conn.askBack()
	<-stream.goAway
	stream.End(true)
	if _, err := io.ReadAll(body); err != nil {
		t.Error(err)
	}
	if err := <-shutdown; err != nil {
		t.Error(err)
	}
}
