package socket

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Waiter is notified of events of a socket. The poller's goroutine makes the calls,
// so they must not block. One more call may come after [Poller.Remove].
type Waiter interface {
	// Writable is called when there is room again after a short write.
	Writable()
	// Readable is called when the peer of a TLS connection has sent something,
	// which must be read with [Socket.Read].
	Readable()
	// Gone is called when the peer has closed the connection or its sending half.
	Gone()
}

// Poller watches many sockets with one goroutine. Its methods are safe for
// concurrent use.
type Poller struct {
	file *os.File // epoll instance, which the runtime's own poller watches

	mu    sync.Mutex // guards all below
	slots []slot
	free  []int32 // indexes of free slots
}

// slot is a watched socket.
type slot struct {
	waiter Waiter // nil if the slot is free
	// generation distinguishes events of this socket from late ones of an earlier
	// socket in the slot.
	generation int32
}

// NewPoller starts a poller. It must be closed. An error is one of the system,
// which may be out of descriptors.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating a poller: %w", err)
	}
	// otherwise the runtime could not watch it, and reading events would block a
	// thread
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("creating a poller: %w", err)
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll")}
	go p.run()
	return p, nil
}

// Add begins to watch a socket and to call w. An error is one of the system.
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
		// edge-triggered, so that events need not be switched on and off
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

// Remove stops notifying of a socket, which must be closed next: the kernel watches it
// until then. It does nothing for one that is not watched.
func (p *Poller) Remove(s *Socket) {
	if s.slot >= 0 {
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

// Close ends the poller's goroutine. It does not wait. Sockets that are still
// watched are no longer notified of.
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

// tell notifies the waiter of an event.
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
