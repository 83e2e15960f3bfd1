package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// serveFloor is the least that a server can do: for each message, one send(2)
// to each socket, from one thread a core. It parses no more HTTP than the
// benchmark's client needs, and loses what a socket does not take.
func serveFloor(addr string) {
	host, portText, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(portText)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(host).To4())}); err != nil {
		log.Fatal(err)
	}
	if err := unix.Listen(fd, 4096); err != nil {
		log.Fatal(err)
	}
	f := new(floor)
	for i := range f.senders {
		f.senders[i] = newSender()
		go f.senders[i].run()
	}
	for {
		conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			log.Fatal(err)
		}
		f.serve(conn)
	}
}

type floor struct {
	senders [2]*sender
	next    int
}

// serve reads the first request of a connection: a stream is given to a
// sender, a publisher gets a goroutine.
func (f *floor) serve(fd int) {
	buf := make([]byte, 64<<10)
	n, err := unix.Read(fd, buf)
	if err != nil || n <= 0 {
		unix.Close(fd)
		return
	}
	if bytes.HasPrefix(buf, []byte("GET")) {
		const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:ok\n"
		_, _ = unix.Write(fd, []byte(head))
		_ = unix.SetNonblock(fd, true)
		s := f.senders[f.next%len(f.senders)]
		f.next++
		s.mu.Lock()
		s.fds = append(s.fds, fd)
		s.mu.Unlock()
		return
	}
	go f.publisher(fd, buf, n)
}

func (f *floor) publisher(fd int, buf []byte, n int) {
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	for n > 0 {
		_, body, _ := bytes.Cut(buf[:n], []byte("\r\n\r\n"))
		now := time.Now().UnixMilli()
		text := bytes.TrimSuffix(bytes.TrimPrefix(body, []byte(`{"text":`)), []byte("}"))
		frame := fmt.Appendf(nil, "id: %d\ndata: {\"text\":%s,\"timestamp\":%d,\"id\":\"%d\"}\n\n", now, text, now, now)
		for _, s := range f.senders {
			s.frames <- frame
		}
		if _, err := unix.Write(fd, []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
			return
		}
		var err error
		if n, err = unix.Read(fd, buf); err != nil {
			return
		}
	}
}

// sender sends to its share of the sockets.
type sender struct {
	mu     sync.Mutex // guards fds
	fds    []int
	frames chan []byte // a publisher waits when it is full
}

func newSender() *sender { return &sender{frames: make(chan []byte, 64)} }

func (s *sender) run() {
	runtime.LockOSThread()
	for frame := range s.frames {
		s.mu.Lock()
		fds := s.fds
		s.mu.Unlock()
		for _, fd := range fds {
			_ = unix.Sendto(fd, frame, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
		}
	}
}
