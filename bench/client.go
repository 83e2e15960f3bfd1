package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// readers are open streams that one thread reads. It counts events by the
// blank lines between them; of a few streams it also looks at the times in
// the messages.
type readers struct {
	epoll   int
	fds     []int
	tails   []byte // of each stream: 1 if it ended with a line break
	events  atomic.Int64
	stop    atomic.Bool
	stopped chan struct{}
	busy    atomic.Int64 // nanoseconds not spent waiting
	lost    atomic.Int64 // streams that ended

	latencies []time.Duration
	sampling  atomic.Bool
}

// perAddress is how many connections one loopback address is used for.
const perAddress = 20_000

// connect opens n streams and waits until each has had its first bytes.
func connect(s *server, n int) (*readers, error) {
	host, portText, _ := net.SplitHostPort(s.addr)
	port, _ := strconv.Atoi(portText)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	r := &readers{epoll: epoll, stopped: make(chan struct{})}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", s.subscribe, s.addr)
	to := &unix.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(host).To4())}
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("stream %d: %w", i, err)
		}
		from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + i/perAddress)}}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := errors.Join(unix.Bind(fd, from), unix.Connect(fd, to)); err != nil {
			return nil, fmt.Errorf("stream %d: %w", i, err)
		}
		if _, err := unix.Write(fd, request); err != nil {
			return nil, err
		}
		r.fds = append(r.fds, fd)
	}
	r.tails = make([]byte, n)
	for i, fd := range r.fds {
		if err := readHead(fd); err != nil {
			return nil, fmt.Errorf("stream %d: %w", i, err)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return nil, err
		}
	}
	go r.run()
	return r, nil
}

// readHead reads the header of an answer and the first bytes of the body, if
// they come with it.
func readHead(fd int) error {
	var head []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		n, err := unix.Read(fd, buf)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("closed after %q", head)
		}
		head = append(head, buf[:n]...)
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("refused: %q", head)
	}
	return nil
}

// sampled is every how many streams latencies are looked at.
const sampled = 16

func (r *readers) run() {
	defer close(r.stopped)
	events := make([]unix.EpollEvent, 512)
	buf := make([]byte, 256<<10)
	for !r.stop.Load() {
		n, err := unix.EpollWait(r.epoll, events, 50)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		begin := time.Now()
		for _, event := range events[:max(n, 0)] {
			r.read(int(event.Fd), buf)
		}
		r.busy.Add(int64(time.Since(begin)))
	}
}

func (r *readers) read(i int, buf []byte) {
	n, err := unix.Read(r.fds[i], buf)
	if n <= 0 {
		if n == 0 || !errors.Is(err, unix.EAGAIN) {
			_ = unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, r.fds[i], nil)
			r.lost.Add(1)
		}
		return
	}
	p := buf[:n]
	found := int64(bytes.Count(p, []byte("\n\n")))
	if r.tails[i] == 1 && p[0] == '\n' {
		found++
	}
	r.tails[i] = 0
	if p[n-1] == '\n' && (n < 2 || p[n-2] != '\n') {
		r.tails[i] = 1
	}
	r.events.Add(found)
	if i%sampled == 0 && r.sampling.Load() {
		r.sample(p)
	}
}

// stamp is how a message tells when it was sent.
const stamp = "sent@"

func (r *readers) sample(p []byte) {
	now := time.Now().UnixNano()
	for len(r.latencies) < 1<<20 {
		i := bytes.Index(p, []byte(stamp))
		if i < 0 || len(p) < i+len(stamp)+19 {
			return
		}
		p = p[i+len(stamp):]
		if sent, err := strconv.ParseInt(string(p[:19]), 10, 64); err == nil {
			r.latencies = append(r.latencies, time.Duration(now-sent))
		}
	}
}

// wait waits until so many events have come, or no more come.
func (r *readers) wait(events int64) {
	last, still := int64(-1), 0
	for r.events.Load() < events && still < 100 {
		time.Sleep(20 * time.Millisecond)
		if now := r.events.Load(); now != last {
			last, still = now, 0
		} else {
			still++
		}
	}
}

func (r *readers) close() {
	r.stop.Store(true)
	<-r.stopped
	for _, fd := range r.fds {
		unix.Close(fd)
	}
	unix.Close(r.epoll)
}

// percentile returns a latency in milliseconds; the streams must be closed.
func (r *readers) percentile(p float64) float64 {
	if len(r.latencies) == 0 {
		return 0
	}
	slices.Sort(r.latencies)
	i := min(int(p*float64(len(r.latencies))), len(r.latencies)-1)
	return float64(r.latencies[i]) / float64(time.Millisecond)
}

// publisher is a connection that publishes.
type publisher struct {
	fd      int
	head    string
	buf     []byte
	text    string
	request []byte
}

func newPublisher(s *server, size int) (*publisher, error) {
	host, portText, _ := net.SplitHostPort(s.addr)
	port, _ := strconv.Atoi(portText)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(host).To4())}); err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return &publisher{
		fd:   fd,
		head: fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: ", s.publish, s.addr),
		text: strings.Repeat("x", max(0, size-len(stamp)-20)),
		buf:  make([]byte, 64<<10),
	}, nil
}

// publish publishes one message and waits for its answer.
func (p *publisher) publish() error {
	body := fmt.Sprintf(`{"text":"%s%019d %s"}`, stamp, time.Now().UnixNano(), p.text)
	p.request = fmt.Appendf(p.request[:0], "%s%d\r\n\r\n%s", p.head, len(body), body)
	if _, err := unix.Write(p.fd, p.request); err != nil {
		return err
	}
	got := 0
	for {
		n, err := unix.Read(p.fd, p.buf[got:])
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("the server has closed a publisher's connection")
		}
		got += n
		if done, err := complete(p.buf[:got]); done || err != nil {
			return err
		}
	}
}

// complete reports whether an answer has come whole.
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

func (p *publisher) close() { unix.Close(p.fd) }
