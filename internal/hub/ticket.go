package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
)

// A reader whose goroutine was given up is parked: someone who writes for many
// writes for it. Such a writer has a queue of the subscribers that it has to look
// at, and each subscriber has a ticket, which is in that queue at most once.

// Queue is the tickets of the subscribers that a writer has to serve. Its methods
// may be called at any time.
type Queue struct {
	// Wake has an element when the queue may have become longer than empty.
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

// Take empties the queue and returns what was in it, using buf for what comes
// next.
func (q *Queue) Take(buf []*Ticket) []*Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	tickets := q.tickets
	q.tickets = buf[:0]
	return tickets
}

// Ticket is a parked subscriber's place in a queue. Exactly one goroutine serves
// the subscriber at a time, and none overlooks what comes meanwhile.
type Ticket struct {
	queue *Queue
	state atomic.Uint32
	// Stream is what the writer keeps of the subscriber.
	Stream Parked
}

// Parked is what a hub needs of a parked stream. Its methods may be called
// at any time until the ticket is given up.
type Parked interface {
	// Abort gives up a write that is stuck, and the stream with it.
	Abort()
	// Unheard tells for how long the peer has acknowledged nothing, and whether
	// it should have.
	Unacked() (since time.Duration, owed bool)
}

// The states of a ticket.
const (
	ticketIdle    = iota // nobody has to look at the subscriber
	ticketWaiting        // it is in the queue
	ticketServed         // somebody serves it
	ticketAgain          // somebody serves it, and has to do so once more
	ticketClosed         // nobody serves it any more
)

// Init sets up the ticket of a stream that the caller serves first.
func (t *Ticket) Init(q *Queue, stream Parked) {
	t.queue, t.Stream = q, stream
	t.state.Store(ticketServed)
}

// Signal has the subscriber served soon. It may be called at any time.
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

// Serve is called by whoever has taken the ticket out of the queue, and serves
// the subscriber until done.
func (t *Ticket) Serve() { t.state.Store(ticketServed) }

// Done ends what serve began. With more, or if there was a signal meanwhile, the
// ticket goes back into the queue.
func (t *Ticket) Done(more bool) {
	if t.state.Load() == ticketClosed || !more && t.state.CompareAndSwap(ticketServed, ticketIdle) {
		return
	}
	t.state.Store(ticketWaiting)
	t.queue.add(t)
}

// Close gives the ticket up. Whoever serves the subscriber calls it.
func (t *Ticket) Close() { t.state.Store(ticketClosed) }
