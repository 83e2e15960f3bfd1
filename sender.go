package ssechat

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// lot is where a hub's streams are parked. It is made for the first of them.
type lot struct {
	poller  *socket.Poller
	pace    *pace
	senders []*sender

	done chan struct{} // closed when nobody will come any more

	mayBlock atomic.Bool  // some stream's socket may block
	blocked  atomic.Int32 // workers that a write has blocked

	mu      sync.Mutex // guards all below
	count   int        // of streams
	turn    int        // whose turn it is to take one
	closing bool
	waiting []chan<- struct{} // closed when there is no stream
	reading int               // goroutines that read from the store
	unread  []*parked         // that wait for one of them
}

// maxReading is how many goroutines of a lot read from the store at a time. When
// a log was rolled back, all streams want to.
const maxReading = 64

// openLot opens a lot with a sender for each core.
func openLot(pace *pace) (*lot, error) {
	poller, err := socket.NewPoller()
	if err != nil {
		return nil, err
	}
	turns := pace.senders()
	l := &lot{poller: poller, pace: pace, senders: make([]*sender, len(turns)), done: make(chan struct{})}
	for i := range l.senders {
		s := &sender{lot: l, wake: make(chan struct{}, 1), turn: &turns[i]}
		l.senders[i] = s
		go newWorker(s).run(nil)
	}
	return l, nil
}

// enterParking returns the sender of a stream that is about to be parked, or
// nil if it cannot be. Each call takes a [sender.park] or a [lot.leave].
func (b *broker) enterParking() *sender {
	b.lotMu.Lock()
	defer b.lotMu.Unlock()
	if b.lot == nil {
		l, err := openLot(b.pace)
		if err != nil {
			b.lotWarning.Do(func() {
				caddy.Log().Named("http.handlers.sse_chat").Warn("streams are not parked for now, and each holds a goroutine", zap.Error(err))
			})
			return nil
		}
		b.lot = l
	}
	return b.lot.enter()
}

// closeParking has the senders stop when the last stream is closed.
func (b *broker) closeParking() {
	b.lotMu.Lock()
	defer b.lotMu.Unlock()
	if b.lot != nil {
		b.lot.close()
	}
}

// awaitParked waits until no stream is parked any more, but not for long: no
// longer than those may take who are stalled.
func (b *broker) awaitParked() {
	b.lotMu.Lock()
	l := b.lot
	b.lotMu.Unlock()
	if l == nil {
		return
	}
	patience := time.NewTimer(2 * goodbyeLimit * tickLength)
	defer patience.Stop()
	select {
	case <-l.vacant():
	case <-patience.C:
	}
}

// enter returns the sender whose turn it is to take a stream, or nil if the
// senders stop.
func (l *lot) enter() *sender {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil
	}
	l.count++
	l.turn++
	return l.senders[l.turn%len(l.senders)]
}

// leave is called when a stream is closed.
func (l *lot) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count--; l.count == 0 {
		for _, waiter := range l.waiting {
			close(waiter)
		}
		l.waiting = nil
	}
	l.closeIfDone()
}

// vacant returns a channel that is closed when there is no stream.
func (l *lot) vacant() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	if l.count == 0 {
		close(c)
	} else {
		l.waiting = append(l.waiting, c)
	}
	return c
}

// read has a stream that is away read from the store.
func (l *lot) read(p *parked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading == maxReading {
		l.unread = append(l.unread, p)
		return
	}
	l.reading++
	go func() {
		for ; p != nil; p = l.nextUnread() {
			p.readAway()
		}
	}()
}

func (l *lot) nextUnread() *parked {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unread) == 0 {
		l.reading--
		l.unread = nil
		return nil
	}
	p := l.unread[0]
	l.unread[0] = nil
	l.unread = l.unread[1:]
	return p
}

// close ends the senders as soon as the last stream is closed.
func (l *lot) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing {
		l.closing = true
		l.closeIfDone()
	}
}

func (l *lot) closeIfDone() {
	if l.closing && l.count == 0 {
		close(l.done)
		l.poller.Close()
	}
}

// sender writes to some of the streams of a lot, in turn. Its worker does the
// work.
type sender struct {
	lot  *lot
	wake chan struct{}
	turn *turn

	mu    sync.Mutex // guards queue
	queue []*parked  // each once
}

func (s *sender) add(p *parked) {
	s.mu.Lock()
	s.queue = append(s.queue, p)
	first := len(s.queue) == 1
	s.mu.Unlock()
	if !first {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// park has the sender write for a subscriber from now on.
func (s *sender) park(sub *subscriber, to socket.Socket, line *accessLine) {
	p := &parked{sub: sub, socket: to, sender: s, line: line}
	if to.MayBlock() {
		s.lot.mayBlock.Store(true)
	}
	p.queued.Store(true) // nobody serves it before it is watched
	sub.leaveGroup()
	sub.parked.Store(p)
	if err := s.lot.poller.Add(&p.socket, p); err != nil {
		p.cut.Store(true)
	}
	s.add(p) // for what came in between
}

// take returns all that wait, using buf for those who come next.
func (s *sender) take(buf []*parked) []*parked {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queue
	s.queue = buf[:0]
	return queue
}
