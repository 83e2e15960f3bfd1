package load

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clients are many EventSources that come back whenever their streams end: after
// the delay that the server gave, and with Last-Event-ID. One thread reads all of
// them; workers connect.
type Clients struct {
	to      Target
	epoll   int
	clients []*client
	due     []time.Time // when a client connects or is cut off; zero if never

	dialing chan int
	dialed  chan dialed
	dialers sync.WaitGroup
	do      chan func()
	stop    chan struct{}
	stopped chan struct{}

	cutting     bool
	every, away time.Duration // of cuts

	got      int64
	live     []time.Duration // latencies of messages of an open stream
	replayed []time.Duration // latencies of messages published while a client had no stream
	rested   []time.Duration // the same without the outage
	busy     time.Duration
}

type dialed struct {
	client int
	conn   *conn
	err    error
}

// dialers is how many clients may be connecting at the same time.
const dialers = 64

// nativeHeader is what browsers send with an EventSource.
const nativeHeader = "Cache-Control: no-cache\r\nPragma: no-cache\r\nUser-Agent: Mozilla/5.0 (bench)\r\n"

// ConnectClients opens n EventSources and waits until all have been answered.
func ConnectClients(to Target, n int) (*Clients, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	c := &Clients{
		to: to, epoll: epoll, clients: make([]*client, n), due: make([]time.Time, n),
		dialing: make(chan int, n), dialed: make(chan dialed, n), do: make(chan func()),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	apart := 200 * time.Microsecond
	if to.Over.IsSecure() {
		apart = 2 * time.Millisecond // a handshake
	}
	begin := time.Now()
	for i := range c.clients {
		c.clients[i] = &client{events: eventSource{retry: defaultRetry}}
		c.due[i] = begin.Add(time.Duration(i) * apart)
	}
	for range min(n, dialers) {
		c.dialers.Go(c.dialAll)
	}
	go c.run()
	limit := time.Duration(n)*apart + 30*time.Second
	for time.Since(begin) < limit {
		if c.Open() == n {
			return c, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	open := c.Open()
	c.Close()
	return nil, fmt.Errorf("only %d of %d clients were answered in %s", open, n, limit)
}

// dialAll connects clients, one after the other.
func (c *Clients) dialAll() {
	for {
		select {
		case i := <-c.dialing:
			conn, err := dial(c.to.Addr, c.to.Over, i)
			c.dialed <- dialed{i, conn, err} // it has room for each client
		case <-c.stop:
			return
		}
	}
}

// tick is how late a client may connect or be cut off.
const tick = 2 * time.Millisecond

func (c *Clients) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.stopped)
	events := make([]unix.EpollEvent, 1024)
	buf, plain := make([]byte, 256<<10), make([]byte, 16<<10)
	for {
		n, err := unix.EpollWait(c.epoll, events, int(tick/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		begin := time.Now()
		for _, event := range events[:max(n, 0)] {
			c.read(int(event.Fd), buf, plain)
		}
		if !c.work() {
			return
		}
		now := time.Now()
		for i, due := range c.due {
			if !due.IsZero() && !now.Before(due) {
				c.act(i, now)
			}
		}
		c.busy += time.Since(begin)
	}
}

// work does what other goroutines want. It returns false if that is to stop.
func (c *Clients) work() bool {
	for {
		select {
		case d := <-c.dialed:
			c.join(d)
		case f := <-c.do:
			f()
		case <-c.stop:
			return false
		default:
			return true
		}
	}
}

// act connects a client, or cuts it off.
func (c *Clients) act(i int, now time.Time) {
	one := c.clients[i]
	c.due[i] = time.Time{}
	if one.conn == nil {
		c.dialing <- i // it has room for each client
		return
	}
	one.conn.reset()
	one.conn, one.opened, one.lostAt, one.outage = nil, false, now, now.Add(c.away)
	c.due[i] = comeback(now, c.away, one.events.retry)
}

// join starts a stream on a connection.
func (c *Clients) join(d dialed) {
	one := c.clients[d.client]
	err := d.err
	if err == nil {
		header := nativeHeader + c.to.Header
		if id := one.events.lastID; id != "" {
			header += "Last-Event-ID: " + id + "\r\n"
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(d.client)}
		err = errors.Join(d.conn.unblock(),
			d.conn.write(getRequest(c.to.Over, c.to.Addr, c.to.Path(d.client), header)),
			unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, d.conn.raw.fd, &event))
		if err != nil {
			d.conn.close()
		}
	}
	if err != nil {
		c.due[d.client] = time.Now().Add(one.events.retry)
		return
	}
	one.begin(d.conn, c.to.Over)
}

func (c *Clients) read(i int, buf, plain []byte) {
	one := c.clients[i]
	if one.conn == nil {
		return // it was cut off in the same round
	}
	wasOpen, now := one.opened, time.Now()
	if !wasOpen {
		one.openedAt = now // if it is answered now; messages may come with the answer
	}
	err := one.conn.receive(buf, plain, func(p []byte) error {
		return one.feed(p, func(data []byte) { c.took(one, data, now) })
	})
	if one.opened && !wasOpen && c.cutting {
		c.schedule(i, now)
	}
	if err == nil || errors.Is(err, again) {
		return
	}
	one.conn.close()
	one.conn, one.opened, one.lostAt, c.due[i] = nil, false, now, now.Add(one.events.retry)
	if errors.Is(err, errRefused) {
		one.gaveUp, c.due[i] = true, time.Time{}
	}
}

func (c *Clients) took(one *client, data []byte, now time.Time) {
	number, sent, ok := parseText(data)
	if !ok {
		return
	}
	c.got++
	if !one.seen.add(number) {
		one.doubled++
		return
	}
	if !sent.Before(one.openedAt) || one.lostAt.IsZero() {
		c.live = append(c.live, now.Sub(sent))
		return
	}
	c.replayed = append(c.replayed, now.Sub(sent))
	if sent.Before(one.outage) {
		sent = one.outage
	}
	c.rested = append(c.rested, now.Sub(sent))
}

// call runs a function in the thread and waits for it.
func (c *Clients) call(f func()) {
	done := make(chan struct{})
	select {
	case c.do <- func() { f(); close(done) }:
		<-done
	case <-c.stopped:
		f()
	}
}

// Close closes all connections.
func (c *Clients) Close() {
	close(c.stop)
	<-c.stopped
	c.dialers.Wait()
	close(c.dialed)
	for d := range c.dialed {
		if d.err == nil {
			d.conn.close()
		}
	}
	for _, one := range c.clients {
		if one.conn != nil {
			one.conn.close()
		}
	}
	unix.Close(c.epoll)
}

// Settle waits until all clients that have not given up have an open stream, and
// nothing has come for a moment; at most for a limit.
func (c *Clients) Settle(limit time.Duration) {
	last, since := int64(-1), time.Now()
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(50 * time.Millisecond) {
		var got int64
		var whole bool
		c.call(func() {
			got = c.got
			whole = !slices.ContainsFunc(c.clients, func(one *client) bool { return !one.opened && !one.gaveUp })
		})
		if got != last || !whole {
			last, since = got, time.Now()
		}
		if time.Since(since) > patience {
			return
		}
	}
}
