// Package parking writes for streams that have no goroutine of their own: it holds
// their sockets, and a few senders write to all of them what their hub has.
package parking

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/sse-chat/caddy-sse-chat/internal/hub"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// Lot is where the streams of one hub are parked. Its senders are started for the
// first of them, one for each core. Its methods may be called at any time.
type Lot struct {
	hub  *hub.Hub
	done chan struct{} // closed when nobody will come any more

	mayBlock atomic.Bool  // some stream's socket may block
	blocked  atomic.Int32 // workers that a write has blocked

	mu        sync.Mutex // guards all below
	poller    *socket.Poller
	senders   []*Sender // nil until a stream is parked
	warned    bool      // that streams cannot be parked
	entering  int       // streams that are about to be parked
	parked    int       // streams that are
	next      int       // whose turn it is to take one
	closing   bool
	waiting   []chan<- struct{} // closed when there is no stream
	reading   int               // goroutines that read from the store
	readQueue []*Stream         // that wait for one of them
}

// maxReading is how many goroutines of a lot read from the store at a time. When
// a log was rolled back, all streams want to.
const maxReading = 64

// NewLot returns an empty lot for the streams of a hub.
func NewLot(hub *hub.Hub) *Lot { return &Lot{hub: hub, done: make(chan struct{})} }

// Sender writes to some of the streams of a lot, in turn. Its worker does the
// work.
type Sender struct {
	lot   *Lot
	queue *hub.Queue
	round *hub.Round
}

// Enter returns the sender of a stream that is about to be parked, or nil if it
// cannot be. Each sender that is returned takes a [Sender.Park] or a
// [Sender.Leave].
func (l *Lot) Enter() *Sender {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.senders == nil && !l.start() {
		return nil
	}
	l.entering++
	l.next++
	return l.senders[l.next%len(l.senders)]
}

// start starts the senders. It reports false if the system does not allow it now.
func (l *Lot) start() bool {
	poller, err := socket.NewPoller()
	if err != nil {
		if !l.warned {
			l.warned = true
			caddy.Log().Named("http.handlers.sse_chat").Warn("streams are not parked for now, and each holds a goroutine", zap.Error(err))
		}
		return false
	}
	l.poller = poller
	rounds := l.hub.Pace.SenderRounds()
	for i := range rounds {
		s := &Sender{lot: l, queue: hub.NewQueue(), round: &rounds[i]}
		l.senders = append(l.senders, s)
		go newWorker(s).run(nil)
	}
	return true
}

// Leave is called instead of Park for a stream that is not parked after all.
func (s *Sender) Leave() { s.lot.count(-1, 0) }

// Size returns how many streams are parked.
func (l *Lot) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parked
}

// count changes how many streams are about to be parked, and how many are.
func (l *Lot) count(coming, parked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entering += coming
	l.parked += parked
	if l.entering+l.parked == 0 {
		for _, waiter := range l.waiting {
			close(waiter)
		}
		l.waiting = nil
	}
	l.closeIfDone()
}

// Await waits until no stream is parked any more, but no longer than patience.
func (l *Lot) Await(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.vacant():
	case <-timer.C:
	}
}

// vacant returns a channel that is closed when there is no stream.
func (l *Lot) vacant() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	if l.entering+l.parked == 0 {
		close(c)
	} else {
		l.waiting = append(l.waiting, c)
	}
	return c
}

// read has a goroutine read from the store for a stream.
func (l *Lot) read(p *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading == maxReading {
		l.readQueue = append(l.readQueue, p)
		return
	}
	l.reading++
	go func() {
		for ; p != nil; p = l.nextInReadQueue() {
			p.serveAlone(p.catchUp)
		}
	}()
}

func (l *Lot) nextInReadQueue() *Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.readQueue) == 0 {
		l.reading--
		l.readQueue = nil
		return nil
	}
	p := l.readQueue[0]
	l.readQueue[0] = nil
	l.readQueue = l.readQueue[1:]
	return p
}

// Close has the senders stop as soon as the last stream is closed. No further
// stream is parked.
func (l *Lot) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing {
		l.closing = true
		l.closeIfDone()
	}
}

func (l *Lot) closeIfDone() {
	if !l.closing || l.entering+l.parked > 0 {
		return
	}
	close(l.done)
	if l.poller != nil {
		l.poller.Close()
	}
}

// Park has the sender write for a subscriber from now on, to a socket that is the
// stream's own. chunked tells that the body is sent in chunks. ended is called
// when the stream has ended; it may be nil.
func (s *Sender) Park(sub *hub.Subscriber, to socket.Socket, chunked bool, ended func(*hub.Subscriber)) {
	p := &Stream{sub: sub, socket: to, sender: s, ended: ended}
	if to.MayBlock() {
		s.lot.mayBlock.Store(true)
	}
	p.ticket.Init(s.queue, p)
	sub.Park(&p.ticket, chunked)
	if err := s.lot.poller.Add(&p.socket, p); err != nil {
		p.Abort()
	}
	s.lot.count(-1, 1)
	p.ticket.Done(true) // for what came in between
}
