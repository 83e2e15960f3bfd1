package chattest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Stream reads a stream in the background. What it has read waits for the test
// to take it.
type Stream struct {
	Response *http.Response
	// Close gives the stream up. It may be called more than once.
	Close func()

	mu   sync.Mutex
	cond sync.Cond
	got  bytes.Buffer
	read int // how much of got the test has looked at
	err  error
}

// Stream opens a stream and waits for its header.
func (s *Site) Stream(t testing.TB, path string, header ...string) *Stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &Stream{Response: s.Send(t, ctx, http.MethodGet, path, "", header...)}
	c.cond.L = &c.mu
	done := make(chan struct{})
	c.Close = func() {
		cancel()
		<-done
	}
	t.Cleanup(c.Close)
	go func() {
		defer close(done)
		defer c.Response.Body.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Response.Body.Read(buf)
			c.mu.Lock()
			c.got.Write(buf[:n])
			c.err = err
			c.cond.Broadcast()
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

// wait waits until ready, which may ask for all that was not looked at yet, is true.
func (c *Stream) wait(t testing.TB, what string, ready func(unread func() string, ended bool) (taken int, ok bool)) {
	t.Helper()
	timer := time.AfterFunc(Patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cond.Broadcast()
	})
	defer timer.Stop()
	start := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	unread := func() string { return string(c.got.Bytes()[c.read:]) }
	for {
		taken, ok := ready(unread, c.err != nil)
		if ok {
			c.read += taken
			return
		}
		if c.err != nil || time.Since(start) >= Patience {
			t.Fatalf("waiting for %s: got %q, %v", what, unread(), c.err)
		}
		c.cond.Wait()
	}
}

// Next returns the next event.
func (c *Stream) Next(t testing.TB) (e Event) {
	t.Helper()
	c.wait(t, "an event", func(unread func() string, _ bool) (int, bool) {
		all := unread()
		for end := 0; ; {
			i := strings.Index(all[end:], "\n\n")
			if i < 0 {
				return 0, false
			}
			end += i + 2
			if events := ParseStream(all[:end]); len(events) > 0 {
				e = events[0]
				return end, true
			}
		}
	})
	return e
}

// Until waits for something in the stream and returns all up to its end.
func (c *Stream) Until(t testing.TB, what string) (text string) {
	t.Helper()
	c.wait(t, fmt.Sprintf("%q", what), func(unread func() string, _ bool) (int, bool) {
		all := unread()
		i := strings.Index(all, what)
		if i < 0 {
			return 0, false
		}
		text = all[:i+len(what)]
		return len(text), true
	})
	return text
}

// Line waits for a line that contains something, and returns it without its end.
func (c *Stream) Line(t testing.TB, what string) (line string) {
	t.Helper()
	c.wait(t, fmt.Sprintf("a line with %q", what), func(unread func() string, _ bool) (taken int, ok bool) {
		for next := range strings.Lines(unread()) {
			if !strings.HasSuffix(next, "\n") {
				break
			}
			taken += len(next)
			if strings.Contains(next, what) {
				line = strings.TrimSuffix(next, "\n")
				return taken, true
			}
		}
		return 0, false
	})
	return line
}

// Rest waits for the stream's end and returns what was left, and how it ended.
func (c *Stream) Rest(t testing.TB) (rest string, err error) {
	t.Helper()
	c.wait(t, "the end", func(unread func() string, ended bool) (int, bool) {
		if ended {
			rest = unread()
		}
		return len(rest), ended
	})
	return rest, c.err
}

// All returns all that has come so far.
func (c *Stream) All() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}
