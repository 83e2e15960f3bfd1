package load

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// Publishers are connections that publish, driven by the calling goroutine.
type Publishers struct {
	epoll   int
	conns   []*publisher
	request func(dst []byte, text string) []byte
	stamped bool // whether the text has space for the send time
	padding string
	text    []byte
	sending []byte
	buf     []byte
	plain   []byte

	sent    int64 // requests
	answers []time.Duration
}

type publisher struct {
	conn  *conn
	begin time.Time // of the current request
	got   []byte    // of its answer
	free  bool
}

// NewPublishers opens n connections. The request function appends a request that
// publishes a text; texts have the given size. Instead of HTTP/2 they speak HTTP/1.1
// over TLS.
func NewPublishers(addr string, over protocol.Name, n, size int, request func(dst []byte, text string) []byte) (*Publishers, error) {
	if over == protocol.H2 {
		over = protocol.HTTPS
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &Publishers{
		epoll: epoll, request: request, buf: make([]byte, 64<<10), plain: make([]byte, 16<<10), stamped: size >= stampWidth, padding: strings.Repeat("x", size),
	}
	if p.stamped {
		p.padding = p.padding[stampWidth:]
	}
	for i := range n {
		c, err := dial(addr, over, i)
		if err == nil {
			event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
			err = errors.Join(c.unblock(), unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, c.raw.fd, &event))
			p.conns = append(p.conns, &publisher{conn: c, free: true})
		}
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("publisher %d: %w", i, err)
		}
	}
	return p, nil
}

// Close closes all connections.
func (p *Publishers) Close() {
	for _, c := range p.conns {
		c.conn.close()
	}
	unix.Close(p.epoll)
}

// Done returns the number of requests answered since the last call, and how long
// each took.
func (p *Publishers) Done() (requests int64, answers []time.Duration) {
	requests, answers = p.sent, p.answers
	p.sent, p.answers = 0, nil
	return requests, answers
}

// Send sends n requests one after the other.
func (p *Publishers) Send(n int) error {
	for range n {
		if err := p.send(p.conns[0]); err != nil {
			return err
		}
		if err := p.drain(); err != nil {
			return err
		}
	}
	return nil
}

// Flood makes each connection send its next request as soon as the last one is
// answered.
func (p *Publishers) Flood(d time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	deadline := time.Now().Add(d)
	for _, c := range p.conns {
		if err := p.send(c); err != nil {
			return err
		}
	}
	for time.Now().Before(deadline) {
		if err := p.take(100*time.Millisecond, func(c *publisher) error { return p.send(c) }); err != nil {
			return err
		}
	}
	return p.drain()
}

// Pace sends requests at an even rate, each on an idle connection. It returns how
// many were sent more than a millisecond late because no connection was idle.
func (p *Publishers) Pace(rate float64, d time.Duration) (late int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := time.Now()
	for i := range int(rate * d.Seconds()) {
		due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		for time.Now().Before(due) {
			if err := p.take(time.Until(due), ignore); err != nil {
				return late, err
			}
		}
		c, err := p.idle()
		if err != nil {
			return late, err
		}
		if time.Since(due) > time.Millisecond {
			late++
		}
		if err := p.send(c); err != nil {
			return late, err
		}
	}
	return late, p.drain()
}

func ignore(*publisher) error { return nil }

// idle waits for an idle connection and returns it.
func (p *Publishers) idle() (*publisher, error) {
	for {
		for _, c := range p.conns {
			if c.free {
				return c, nil
			}
		}
		if err := p.take(time.Second, ignore); err != nil {
			return nil, err
		}
	}
}

// answerLimit is how long a publisher waits for an answer.
const answerLimit = 20 * time.Second

// drain waits until all requests are answered.
func (p *Publishers) drain() error {
	for _, c := range p.conns {
		for !c.free {
			if err := p.take(answerLimit, ignore); err != nil {
				return err
			}
			if !c.free && time.Since(c.begin) > answerLimit {
				return fmt.Errorf("no answer to a publisher in %s", answerLimit)
			}
		}
	}
	return nil
}

func (p *Publishers) send(c *publisher) error {
	c.begin, c.free, c.got = time.Now(), false, c.got[:0]
	p.text = p.text[:0]
	if p.stamped {
		p.text = appendStamp(p.text, c.begin)
	}
	p.text = append(p.text, p.padding...)
	p.sending = p.request(p.sending[:0], string(p.text))
	return c.conn.write(p.sending)
}

// take waits for answers up to a time limit, and calls next for each connection
// that has its answer.
func (p *Publishers) take(wait time.Duration, next func(*publisher) error) error {
	ready := []unix.PollFd{{Fd: int32(p.epoll), Events: unix.POLLIN}}
	timeout := unix.NsecToTimespec(max(0, int64(wait)))
	if n, err := unix.Ppoll(ready, &timeout, nil); n <= 0 {
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		return nil
	}
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(p.epoll, events[:], 0)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	for _, event := range events[:max(n, 0)] {
		c := p.conns[event.Fd]
		done, err := c.receive(p.buf, p.plain)
		if err != nil {
			return fmt.Errorf("a publisher: %w", err)
		}
		if !done || c.free {
			continue
		}
		c.free = true
		p.sent++
		p.answers = append(p.answers, time.Since(c.begin))
		if err := next(c); err != nil {
			return err
		}
	}
	return nil
}

// receive reads available data and reports whether the answer is complete.
func (c *publisher) receive(buf, plain []byte) (bool, error) {
	err := c.conn.receive(buf, plain, func(p []byte) error {
		c.got = append(c.got, p...)
		return nil
	})
	if err != nil && !errors.Is(err, again) {
		return false, err
	}
	return complete(c.got)
}

// complete reports whether an answer is complete.
func complete(answer []byte) (bool, error) {
	head, body, found := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !found {
		return false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 20")) {
		return false, fmt.Errorf("refused: %q", answer)
	}
	lower := bytes.ToLower(head)
	if _, rest, ok := bytes.Cut(lower, []byte("content-length: ")); ok {
		number, _, _ := bytes.Cut(rest, []byte("\r\n"))
		n, err := strconv.Atoi(string(number))
		return len(body) >= n, err
	}
	if bytes.Contains(lower, []byte("chunked")) {
		return bytes.HasSuffix(body, []byte("0\r\n\r\n")), nil
	}
	return true, nil
}
