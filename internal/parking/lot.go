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

// Lot holds the parked streams of one hub. It starts one sender per core for the
// first of them. Its methods are safe for concurrent use.
type Lot struct {
	hub  *hub.Hub
	done chan struct{} // closed when the lot is closed and empty

	mayBlock atomic.Bool  // set once some stream's socket may block
	blocked  atomic.Int32 // number of workers that a write blocks

	mu        sync.Mutex // guards all below
	poller    *socket.Poller
	senders   []*Sender // nil until a stream is parked
	warned    bool      // whether it was logged that streams cannot be parked
	entering  int       // number of streams that are about to be parked
	parked    int       // number of parked streams
	next      int       // counts up to choose senders in rotation
	closing   bool
	waiting   []chan<- struct{} // closed when no stream is left
	reading   int               // number of goroutines that read from the store
	readQueue []*Stream         // streams that wait for such a goroutine
}

// maxReading is how many goroutines of a lot read from the store at a time. After a
// log was rolled back, all streams need to.
const maxReading = 64

// NewLot returns an empty lot for the streams of a hub. It must be closed.
func NewLot(hub *hub.Hub) *Lot { return &Lot{hub: hub, done: make(chan struct{})} }

// Sender writes to some of the streams of a lot in rotation. Its worker is the
// goroutine.
type Sender struct {
	lot   *Lot
	queue *hub.Queue
	round *hub.Round
}

// Enter returns the sender for a stream that is about to be parked, or nil if it
// cannot be. The caller must call [Sender.ParkHTTP1], [Sender.ParkHTTP2] or
// [Sender.Leave] once.
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

// start starts the senders. It reports false if the system does not allow that now.
// The caller holds mu.
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

// Leave gives up a stream that is not parked after all.
func (s *Sender) Leave() { s.lot.count(-1, 0) }

// Size returns how many streams are parked.
func (l *Lot) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parked
}

// count adds to the numbers of entering and parked streams.
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

// Await waits until no stream is parked, but no longer than patience.
func (l *Lot) Await(patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.vacant():
	case <-timer.C:
	}
}

// vacant returns a channel that is closed when no stream is left.
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

// read makes a goroutine read from the store for a stream, as soon as one is free.
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

// nextInReadQueue returns the next stream to read for, or nil, with which the
// goroutine must end.
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

// Close stops the senders once the last stream is closed. No further stream can be
// parked. It does not wait, and may be called more than once.
func (l *Lot) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closing {
		l.closing = true
		l.closeIfDone()
	}
}

// closeIfDone stops the senders if the lot is closed and empty. The caller holds
// mu.
func (l *Lot) closeIfDone() {
	if !l.closing || l.entering+l.parked > 0 {
		return
	}
	close(l.done)
	if l.poller != nil {
		l.poller.Close()
	}
}

// park makes the sender write for a subscriber from now on, to a connection. parked
// must be called next.
func (s *Sender) park(p *Stream, to connection, sub *hub.Subscriber, chunked bool, ended func(*hub.Subscriber)) {
	p.sub, p.conn, p.sender, p.ended = sub, to, s, ended
	if to.MayBlock() {
		s.lot.mayBlock.Store(true)
	}
	p.ticket.Init(s.queue, p)
	sub.Park(&p.ticket, chunked)
}

// parked makes the sender serve a stream for the first time, for signals that came
// before the ticket was in place.
func (s *Sender) parked(p *Stream) {
	s.lot.count(-1, 1)
	p.ticket.Done(true)
}
