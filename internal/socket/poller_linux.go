package socket

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Waiter is told what happens to a socket. The calls come from the poller's
// goroutine and must not block; one more may come after [Poller.Remove].
type Waiter interface {
	// Writable tells that there is room again after a short write.
	Writable()
	// Readable tells that the peer of a TLS connection has sent something. It
	// has to be read with [Socket.Read].
	Readable()
	// Gone tells that the peer has closed the connection, or its half of it.
	Gone()
}

// Poller watches many sockets. Its methods are safe for concurrent use.
type Poller struct {
	file *os.File // of epoll; the runtime's own poller watches it

	mu    sync.Mutex // guards all below
	slots []slot
	free  []int32
}

type slot struct {
	waiter Waiter // nil if the slot is free
	// generation tells events of this socket from those of an earlier one in
	// the slot.
	generation int32
}

// NewPoller starts a poller. It must be closed.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating a poller: %w", err)
	}
	// otherwise os would not let the runtime watch it, and reading the events
	// would hold a thread
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("creating a poller: %w", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll")}
	go p.run()
	return p, nil
}

// Add begins to watch a socket.
func (p *Poller) Add(s *Socket, w Waiter) error {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		s.slot = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		s.slot = int32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	at := &p.slots[s.slot]
	at.waiter = w
	event := unix.EpollEvent{
		// on edges, so that nothing has to be switched on and off
		Events: unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff,
		Fd:     s.slot,
		Pad:    at.generation,
	}
	if s.tls != nil {
		event.Events |= unix.EPOLLIN
	}
	p.mu.Unlock()
	err := p.control(unix.EPOLL_CTL_ADD, s, &event)
	if err != nil {
		p.release(s)
		return fmt.Errorf("watching a socket: %w", err)
	}
	return nil
}

// Remove ceases to watch a socket.
func (p *Poller) Remove(s *Socket) {
	if s.slot >= 0 {
		_ = p.control(unix.EPOLL_CTL_DEL, s, nil)
		p.release(s)
	}
}

func (p *Poller) control(op int, s *Socket, event *unix.EpollEvent) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var ctlErr error
	if err := raw.Control(func(fd uintptr) { ctlErr = unix.EpollCtl(int(fd), op, int(s.fd), event) }); err != nil {
		return err
	}
	return ctlErr
}

func (p *Poller) release(s *Socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := &p.slots[s.slot]
	at.waiter = nil
	at.generation++
	p.free = append(p.free, s.slot)
	s.slot = -1
}

// Close ends the poller's goroutine.
func (p *Poller) Close() { _ = p.file.Close() }

func (p *Poller) run() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		for i := range events[:n] {
			p.tell(&events[i])
		}
	}
}

func (p *Poller) tell(event *unix.EpollEvent) {
	p.mu.Lock()
	at := p.slots[event.Fd]
	p.mu.Unlock()
	if at.waiter == nil || at.generation != event.Pad {
		return
	}
	if event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		at.waiter.Gone()
		return
	}
	if event.Events&unix.EPOLLOUT != 0 {
		at.waiter.Writable()
	}
	if event.Events&unix.EPOLLIN != 0 {
		at.waiter.Readable()
	}
}
