package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
)

// A parked subscriber has no goroutine: a sender writes for many of them. The
// sender has a queue of the subscribers that it has to serve. Each subscriber has a
// ticket, which is in that queue at most once.

// Queue is the tickets that a sender has to serve. Its methods are safe for
// concurrent use.
type Queue struct {
	// Wake receives a value when the queue becomes non-empty. It may do so once too
	// often.
	Wake chan struct{}

	mu      sync.Mutex // guards tickets
	tickets []*Ticket
}

// NewQueue returns an empty queue.
func NewQueue() *Queue { return &Queue{Wake: make(chan struct{}, 1)} }

func (q *Queue) add(t *Ticket) {
	q.mu.Lock()
	q.tickets = append(q.tickets, t)
	first := len(q.tickets) == 1
	q.mu.Unlock()
	if first {
		wake.Up(q.Wake)
	}
}

// Take empties the queue and returns its tickets in order. The queue reuses buf for
// the next ones.
func (q *Queue) Take(buf []*Ticket) []*Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	tickets := q.tickets
	q.tickets = buf[:0]
	return tickets
}

// Ticket is a parked subscriber's place in a queue. It ensures that one goroutine
// at a time serves the subscriber, and that a signal during service is not lost.
type Ticket struct {
	queue *Queue
	state atomic.Uint32
	// Stream is the stream that the sender writes to.
	Stream Parked
}

// Parked is what a hub needs of a parked stream. Its methods must not block, and
// may be called by any goroutine until the ticket is closed.
type Parked interface {
	// Abort fails a stuck write and closes the stream.
	Abort()
	// Unacked is [socket.Socket.Unacked] of the connection.
	Unacked() (since time.Duration, owed bool)
}

// The states of a ticket.
const (
	ticketIdle    = iota // no signal is pending
	ticketWaiting        // in the queue
	ticketServed         // a goroutine serves it
	ticketAgain          // a goroutine serves it, and a signal came meanwhile
	ticketClosed         // never served again
)

// Init sets up the ticket of a stream. The caller is the first to serve it, and
// must call Done.
func (t *Ticket) Init(q *Queue, stream Parked) {
	t.queue, t.Stream = q, stream
	t.state.Store(ticketServed)
}

// Signal makes the subscriber be served soon. It may be called at any time and does
// not block.
func (t *Ticket) Signal() {
	for {
		switch t.state.Load() {
		case ticketIdle:
			if t.state.CompareAndSwap(ticketIdle, ticketWaiting) {
				t.queue.add(t)
				return
			}
		case ticketServed:
			if t.state.CompareAndSwap(ticketServed, ticketAgain) {
				return
			}
		default:
			return
		}
	}
}

// Serve begins to serve the subscriber. Whoever took the ticket out of the queue
// calls it, and then Done or Close.
func (t *Ticket) Serve() { t.state.Store(ticketServed) }

// Done ends service. If there was a signal meanwhile, or more is set, the ticket
// goes back into the queue.
func (t *Ticket) Done(more bool) {
	if t.state.Load() == ticketClosed || !more && t.state.CompareAndSwap(ticketServed, ticketIdle) {
		return
	}
	t.state.Store(ticketWaiting)
	t.queue.add(t)
}

// Close ends service for good. Whoever serves the subscriber calls it; Done may
// follow.
func (t *Ticket) Close() { t.state.Store(ticketClosed) }
