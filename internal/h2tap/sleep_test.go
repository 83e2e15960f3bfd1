package h2tap

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 10 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// reader owns a stream and tells what happens to it.
type reader struct {
	*Stream
	writable, gone, goAway chan struct{}
}

func (r *reader) Writable() { tell(r.writable) }
func (r *reader) Gone()     { tell(r.gone) }
func (r *reader) GoAway()   { tell(r.goAway) }

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write writes all of p.
func (r *reader) write(t testing.TB, p string) {
	t.Helper()
	for p != "" {
		n, err := r.Stream.Write([]byte(p))
		if err != nil {
			t.Fatal(err)
		}
		if p = p[n:]; p == "" {
			return
		}
		select {
		case <-r.writable:
		case <-time.After(patience):
			t.Fatal("there is no room")
		}
	}
}

// site is a server whose GET requests are taken, and whose other requests are echoed.
type site struct {
	*httptest.Server
	taken chan *reader
}

func serve(t testing.TB, change func(*http.Server)) *site {
	t.Helper()
	s := &site{taken: make(chan *reader, 1000)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.EnableHTTP2 = true
	var once sync.Once
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		once.Do(func() { Install(s.Config, s) })
		return ctx
	}
	if change != nil {
		change(s.Config)
	}
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *site) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		fmt.Fprintf(w, "%s %s ", r.RemoteAddr, r.Header.Get("X-Number"))
		_, _ = io.Copy(w, r.Body)
		return
	}
	_, _ = io.WriteString(w, "hello ")
	_ = http.NewResponseController(w).Flush()
	own := Take(w, r)
	if own == nil {
		_, _ = io.WriteString(w, "not taken")
		return
	}
	owner := &reader{own, make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)}
	own.Own(owner)
	s.taken <- owner
}

// open opens a stream and takes it.
func (s *site) open(t testing.TB) (io.ReadCloser, *reader) {
	t.Helper()
	response, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	read(t, response.Body, "hello ")
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
	eventually(t, "the session ends", func() bool {
		c.tire()
		return c.isAsleep.Load()
	})
}

// A session ends and begins anew as often as it is needed, and neither streams nor
// requests notice.
func TestASessionSleeps(t *testing.T) {
	s := serve(t, nil)
	body, stream := s.open(t)
	var addr string
	for i := range 40 {
		sleep(t, stream.conn)
		for j := range 3 {
			message := fmt.Sprint(i, " ", j, strings.Repeat("x", i*100), "\n")
			stream.write(t, message)
			read(t, body, message)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(strings.Repeat("y", i*10_000)))
		if err != nil {
			t.Fatal(err)
		}
		// some fields are in the client's table from then on, some are not
		request.Header.Set("X-Number", fmt.Sprint(i))
		request.Header.Set("X-Same", "always the same")
		request.Header.Set("X-Long", strings.Repeat("z", i*50))
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
		if want := fmt.Sprint(i, " ", strings.Repeat("y", i*10_000)); rest != want || from != addr {
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
	s := serve(t, nil)
	body, stream := s.open(t)
	sleep(t, stream.conn)
	shutdown := make(chan error, 1)
	go func() { shutdown <- s.Config.Shutdown(t.Context()) }()
	c := stream.conn
	eventually(t, "the client is told", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.leaving
	})
	stream.write(t, "still here")
	read(t, body, "still here")
	c.askBack()
	select {
	case <-stream.goAway:
	case <-time.After(patience):
		t.Fatal("the owner is not asked")
	}
	stream.End(true)
	if _, err := io.ReadAll(body); err != nil {
		t.Error(err)
	}
	if err := <-shutdown; err != nil {
		t.Error(err)
	}
}


// Connections of only so many configurations linger.
func TestOldConnectionsDoNotLinger(t *testing.T) {
	var streams []*reader
	for range maxGenerations + 1 {
		s := serve(t, nil)
		_, stream := s.open(t)
		sleep(t, stream.conn)
		go func() { _ = s.Config.Shutdown(t.Context()) }()
		eventually(t, "the connection lingers", func() bool {
			all.mu.Lock()
			defer all.mu.Unlock()
			_, lingers := all.conns[stream.conn]
			return lingers || len(stream.goAway) > 0
		})
		streams = append(streams, stream)
	}
	eventually(t, "the oldest is asked back", func() bool { return len(streams[0].goAway) > 0 })
	for _, stream := range streams[1:] {
		if len(stream.goAway) > 0 {
			t.Error("a newer one is asked back as well")
		}
	}
}
