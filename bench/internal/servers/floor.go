package servers

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"
)

// A floor does the minimum work of a server: for each message, or for all waiting
// messages if joined, one send(2) to each reader, from one thread per core. It
// parses only the HTTP that this client needs, and drops a reader that does not
// read for a moment. Over TLS it also encrypts a record, and over HTTP/2 it writes
// DATA frames, which are the same for all readers.
type floor struct {
	senders [2]*floorSender
	next    int
	config  *tls.Config // nil for cleartext
	epoll   int
	keeps   bool
	order   sync.Mutex // held while a message is passed to the senders

	mu      sync.Mutex // guards all below
	readers map[int32]*floorReader
	history [][]byte // the newest messages, if kept
	joined  []byte   // all of them, for readers that connect together; nil if outdated
}

// floorHistory is the number of messages that a floor keeps.
const floorHistory = 1000

func serveFloor(s Site, joined bool) {
	f := &floor{keeps: joined, readers: make(map[int32]*floorReader)}
	var err error
	if f.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		log.Fatal(err)
	}
	go f.watch()
	if s.tls() {
		cert, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			log.Fatal(err)
		}
		f.config = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS13}
	}
	for i := range f.senders {
		f.senders[i] = newFloorSender(joined)
		go f.senders[i].run()
	}
	fd, err := listenFloor(s.Addr)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			log.Fatal(err)
		}
		if f.config == nil {
			f.serve(&floorConn{fd: conn})
			continue
		}
		go f.serve(&floorConn{fd: conn})
	}
}

func listenFloor(addr string) (fd int, err error) {
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return 0, err
	}
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		return 0, err
	}
	return fd, unix.Listen(fd, 4096)
}

// serve reads the first request of a connection: a stream is passed to a sender,
// a publisher gets a goroutine.
func (f *floor) serve(raw *floorConn) {
	_ = unix.SetsockoptInt(raw.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	reader := &floorReader{conn: raw, raw: raw}
	if f.config != nil {
		conn := tls.Server(raw, f.config)
		if err := conn.Handshake(); err != nil {
			raw.Close()
			return
		}
		reader.conn, reader.h2 = conn, conn.ConnectionState().NegotiatedProtocol == "h2"
	}
	buf := make([]byte, 16<<10)
	n, err := reader.conn.Read(buf)
	for err == nil && reader.h2 && n < len(http2.ClientPreface)+9 {
		var more int
		more, err = reader.conn.Read(buf[n:])
		n += more
	}
	if err != nil || n <= 0 {
		raw.Close()
		return
	}
	if !reader.h2 && bytes.HasPrefix(buf, []byte("POST")) {
		go f.publisher(reader.conn, append(make([]byte, 0, 64<<10), buf[:n]...))
		return
	}
	if err := reader.open(); err != nil {
		raw.Close()
		return
	}
	if bytes.Contains(buf[:n], []byte("last=")) {
		f.replay(reader)
	}
	f.mu.Lock()
	f.next++
	reader.sender = f.senders[f.next%len(f.senders)]
	f.readers[int32(raw.fd)] = reader
	f.mu.Unlock()
	reader.sender.add(reader)
	event := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(raw.fd)}
	_ = unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, raw.fd, &event)
}

// watch closes the connections of readers that have left.
func (f *floor) watch() {
	events := make([]unix.EpollEvent, 128)
	for {
		n, _ := unix.EpollWait(f.epoll, events, -1)
		for _, event := range events[:max(n, 0)] {
			f.mu.Lock()
			r := f.readers[event.Fd]
			delete(f.readers, event.Fd)
			f.mu.Unlock()
			if r != nil {
				r.sender.remove(r)
				r.raw.Close()
			}
		}
	}
}

func (f *floor) replay(r *floorReader) {
	f.mu.Lock()
	if f.joined == nil {
		f.joined = bytes.Join(f.history[max(0, len(f.history)-floorHistory):], nil)
	}
	all := f.joined
	f.mu.Unlock()
	var frames []byte
	if r.h2 {
		frames = dataFrames(nil, all)
	}
	r.send(all, frames)
}

func (f *floor) publisher(conn io.ReadWriteCloser, request []byte) {
	defer conn.Close()
	for {
		head, body, _ := bytes.Cut(request, []byte("\r\n\r\n"))
		for len(body) < contentLength(head) {
			n, err := conn.Read(request[len(request):cap(request)])
			if err != nil || n == 0 {
				return
			}
			request = request[:len(request)+n]
			head, body, _ = bytes.Cut(request, []byte("\r\n\r\n"))
		}
		event := frame(json.RawMessage(bytes.TrimSuffix(bytes.TrimPrefix(body, []byte(`{"text":`)), []byte("}"))))
		f.fanOut(event)
		if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
			return
		}
		n, err := conn.Read(request[:cap(request)])
		if err != nil || n == 0 {
			return
		}
		request = request[:n]
	}
}

// fanOut passes an event to the senders, to all in the same order.
func (f *floor) fanOut(event []byte) {
	f.order.Lock()
	defer f.order.Unlock()
	if f.keeps {
		f.mu.Lock()
		if len(f.history) == 2*floorHistory {
			f.history = append(f.history[:0], f.history[floorHistory:]...)
		}
		f.history, f.joined = append(f.history, event), nil
		f.mu.Unlock()
	}
	for _, s := range f.senders {
		s.frames <- event
	}
}

// contentLength reads the only header that a floor needs.
func contentLength(head []byte) int {
	_, rest, _ := bytes.Cut(head, []byte("Content-Length: "))
	n := 0
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// floorSender sends to its share of the readers.
type floorSender struct {
	joined bool
	frames chan []byte // a publisher waits when it is full

	mu      sync.Mutex // guards readers
	readers []*floorReader
}

func newFloorSender(joined bool) *floorSender {
	s := &floorSender{joined: joined, frames: make(chan []byte, 64)}
	if joined {
		s.frames = make(chan []byte, 1024)
	}
	return s
}

// joinLimit is the most that a floor joins.
const joinLimit = 64 << 10

func (s *floorSender) run() {
	var frames []byte
	for event := range s.frames {
		all := event
		if s.joined && len(s.frames) > 0 {
			all = append([]byte(nil), event...)
			for len(s.frames) > 0 && len(all) < joinLimit {
				all = append(all, <-s.frames...)
			}
		}
		frames = dataFrames(frames[:0], all)
		s.mu.Lock()
		for _, r := range s.readers {
			r.send(all, frames)
		}
		s.mu.Unlock()
	}
}

func (s *floorSender) add(r *floorReader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.place = len(s.readers)
	s.readers = append(s.readers, r)
}

func (s *floorSender) remove(r *floorReader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.readers) - 1
	s.readers[r.place] = s.readers[last]
	s.readers[r.place].place = r.place
	s.readers[last] = nil
	s.readers = s.readers[:last]
}
