package h2tap

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

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

// What no session could read ends a resting connection at once.
func TestFaultsWhileASessionSleeps(t *testing.T) {
	for name, frame := range map[string][]byte{
		"an endless header block":    header{length: 1<<24 - 1, kind: http2.FrameHeaders, stream: 3}.append(nil),
		"the end of no header block": append(header{length: 1, kind: http2.FrameContinuation, stream: 3}.append(nil), 0),
		"a block that is no block":   append(header{length: 1, kind: http2.FrameHeaders, flags: http2.FlagHeadersEndHeaders, stream: 3}.append(nil), 0xff),
		"a stream that was opened":   append(header{length: 1, kind: http2.FrameHeaders, flags: http2.FlagHeadersEndHeaders, stream: 1}.append(nil), 0x82),
		"settings without end":       header{length: 1 << 20, kind: http2.FrameSettings}.append(nil),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, nil)
			c := chattest.DialHTTP2(t, s.addr, chattest.LargeWindows)
			stream := s.stream(t, c, 1)
			sleep(t, stream.conn)
			if _, err := c.Conn.Write(frame); err != nil {
				t.Fatal(err)
			}
			select {
			case <-stream.gone:
			case <-time.After(chattest.Patience):
				t.Error("the stream goes on")
			}
		})
	}
}

// A request that wakes a session while the server shuts down is answered, or may be
// sent again.
func TestARequestWakesASessionDuringAShutdown(t *testing.T) {
	for i := range 30 {
		s := serve(t, nil, echo)
		_, stream := s.open(t)
		sleep(t, stream.conn)
		down := make(chan struct{})
		go func() {
			defer close(down)
			time.Sleep(time.Duration(i) * 20 * time.Microsecond)
			_ = s.Config.Shutdown(t.Context())
		}()
		ctx, cancel := context.WithTimeout(t.Context(), chattest.Patience)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.Client().Do(request)
		if err == nil {
			if _, err = io.ReadAll(response.Body); err != nil {
				t.Errorf("a torn answer: %v", err)
			}
			response.Body.Close()
		}
		if ctx.Err() != nil {
			t.Error("no answer, and no end")
		}
		cancel()
		stream.End(true)
		<-down
	}
}

// A client cannot have all owners told again and again.
func TestTheSameWindowTellsNobody(t *testing.T) {
	s := serve(t, nil, nil)
	c := chattest.DialHTTP2(t, s.addr, chattest.LargeWindows)
	stream := s.stream(t, c, 1)
	stream.write(t, []byte("x"))
	select {
	case <-stream.wake:
	default:
	}
	for range 10 {
		stream.conn.clientSetsWindow(stream.conn.initial)
	}
	if len(stream.wake) > 0 {
		t.Error("told of the same window")
	}
}
