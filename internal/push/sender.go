package push

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

const (
	// maxQueued is how many messages wait to be looked at. Beyond that the oldest is dropped.
	maxQueued = 1000
	// idle is the timer's interval while nothing waits. Nothing depends on it.
	idle = time.Hour
	// Farewell is how long Close waits for requests that are under way.
	Farewell = time.Second
)

// Standings says which of some people have streams, here or on another node. Those whom it
// does not name have none.
type Standings func(ctx context.Context, people []string) map[string]presence.Standing

// Sender pushes the messages of a hub to people who are away. Its methods may be called by
// several goroutines at the same time. A nil Sender takes messages and pushes nothing.
type Sender struct {
	// Counts are the counters. They outlive configurations.
	Counts Counts

	hub       string
	standings Standings
	client    *http.Client

	mu    sync.Mutex // guards desks, queue, news and gone
	desks []*desk    // of the configurations that are in use, the newest last
	queue []*store.Message
	news  news            // of messages that may wait
	gone  []*Subscription // to be forgotten; forgetGone runs while there are any

	desk     atomic.Pointer[desk] // the newest of desks
	wake     chan struct{}        // wakes run
	rounds   *rounds              // only run touches it
	underWay atomic.Int64         // requests
	landed   chan struct{}        // wakes Close when a request has ended
	ended    chan struct{}        // closed when run has ended

	ending, aborting context.Context // ended by Close: nothing new begins; all requests end
	end, abort       context.CancelFunc
}

// desk is what one configuration gives a sender.
type desk struct {
	shelf   *shelf
	contact string
	logger  *zap.Logger
}

// shelf is what a storage has.
type shelf struct {
	book  *book
	vapid *vapid
}

// NewSender returns the sender of a hub. It pushes nothing before [Sender.Use], and must be
// closed.
func NewSender(hub string, standings Standings) *Sender {
	s := &Sender{
		hub: hub, standings: standings, client: newClient(),
		wake: make(chan struct{}, 1), landed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.aborting, s.abort = context.WithCancel(context.Background())
	s.rounds = newRounds(s)
	go s.run()
	return s
}

// Use sets the storage, the contact for push services and the logger, until leave is called.
// The last call wins. It does not touch the storage.
func (s *Sender) Use(storage Storage, contact string, logger *zap.Logger) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &desk{contact: contact, logger: logger}
	for _, other := range s.desks {
		if isSame(other.shelf.book.storage, storage) {
			d.shelf = other.shelf
		}
	}
	if d.shelf == nil {
		d.shelf = &shelf{newBook(storage, s.hub), newVAPID(storage)}
	}
	s.desks = append(s.desks, d)
	s.desk.Store(d)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, other := range s.desks {
			if other == d {
				s.desks = append(s.desks[:i:i], s.desks[i+1:]...)
				break
			}
		}
		if n := len(s.desks); n > 0 {
			s.desk.Store(s.desks[n-1])
		}
	}
}

// Key returns the public key for browsers, in base64url. The error is that of the storage.
func (s *Sender) Key(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, storageLimit)
	defer cancel()
	_, public, err := s.desk.Load().shelf.vapid.load(ctx)
	return public, err
}

// Put stores a subscription, in place of another one of its endpoint. The error is [ErrFull]
// or that of the storage.
func (s *Sender) Put(ctx context.Context, sub *Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, storageLimit)
	defer cancel()
	sub.Made = time.Now().UnixMilli()
	return s.desk.Load().shelf.book.put(ctx, sub)
}

// Forget forgets the subscription of an endpoint, if there is one. The error is that of the
// storage.
func (s *Sender) Forget(ctx context.Context, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, storageLimit)
	defer cancel()
	return s.desk.Load().shelf.book.remove(ctx, endpoint)
}

// ForgetPerson forgets all subscriptions of a person, as presence has it: an author's tag, or
// [presence.PersonByName]. The error is that of the storage.
func (s *Sender) ForgetPerson(ctx context.Context, person string) error {
	ctx, cancel := context.WithTimeout(ctx, storageLimit)
	defer cancel()
	return s.desk.Load().shelf.book.removePerson(ctx, person)
}

// Notify hands over a message that was stored, or nil for none. It never waits.
func (s *Sender) Notify(m *store.Message) {
	if s == nil || m == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == maxQueued {
		s.queue = s.queue[1:]
		s.Counts.fail(reasonDropped)
	}
	s.queue = append(s.queue, m)
	s.news.wanted = true
	wake.Up(s.wake)
}

// Changed implements the hub's Follower: what waits is pushed as it is now.
func (s *Sender) Changed(now *store.Message, _ store.ID) {
	s.learn(func() { s.news.changed[now.ID] = now })
}

// Deleted implements the hub's Follower: what was deleted is pushed no more.
func (s *Sender) Deleted(_ string, id, _ store.ID) {
	s.learn(func() { s.news.changed[id] = nil })
}

// Forgotten implements the hub's Follower.
func (s *Sender) Forgotten(room string, through, _ store.ID) {
	s.learn(func() { s.news.forgotten[room] = through })
}

// Delivered implements the hub's Follower. Only what was published at this node is pushed
// here; see [Sender.Notify].
func (*Sender) Delivered([]*store.Message) {}

// Missed implements the hub's Follower.
func (*Sender) Missed(store.ID, bool) {}

// learn notes news of messages, while any wait.
func (s *Sender) learn(note func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.news.wanted || s.news.lost {
		return
	}
	if s.news.size() >= maxNews {
		s.news, s.queue = news{wanted: true, lost: true}, nil
		return
	}
	s.news.grow()
	note()
}

// take returns the messages that wait to be looked at, and what is new of those that wait to be
// pushed.
func (s *Sender) take() ([]*store.Message, news) {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages, learned := s.queue, s.news
	s.queue, s.news = nil, news{wanted: learned.wanted}
	return messages, learned
}

// rest is called when no message waits to be pushed.
func (s *Sender) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.news = news{}
	}
}

// run is the sender's goroutine. It never waits for a push service.
func (s *Sender) run() {
	defer close(s.ended)
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		var ended []result
		select {
		case <-s.wake:
		case <-timer.C:
		case r := <-s.rounds.results:
			ended = append(ended, r)
			for len(s.rounds.results) > 0 { // only this goroutine takes them
				ended = append(ended, <-s.rounds.results)
			}
		case <-s.ending.Done():
			return
		}
		timer.Reset(s.round(ended))
	}
}

// round settles requests that have ended, and pushes what is due. It returns when the
// next round is. After a panic nothing waits any more.
func (s *Sender) round(ended []result) (next time.Duration) {
	defer contain.Panic("pushing", func() { s.rounds, next = newRounds(s), idle })
	for _, res := range ended {
		s.rounds.settle(res, time.Now())
	}
	messages, learned := s.take()
	s.rounds.learn(learned)
	if next = s.rounds.run(messages, time.Now()); next == idle {
		s.rest()
	}
	return next
}

// forgetLater forgets a subscription that its push service does not know any more.
func (s *Sender) forgetLater(b *book, sub *Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, sub)
	if len(s.gone) == 1 {
		go s.forgetGone(b)
	}
}

// forgetGone forgets all that are gone, many in one go.
func (s *Sender) forgetGone(b *book) {
	defer contain.Panic("forgetting subscriptions", func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone = nil
	})
	for done := 0; ; {
		s.mu.Lock()
		s.gone = s.gone[done:]
		subs := slices.Clip(s.gone)
		s.mu.Unlock()
		if done = len(subs); done == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(s.aborting, loadLimit)
		// after an error the next push finds it gone again
		_ = b.removeThese(ctx, subs)
		cancel()
	}
}

// Close ends the sender. It waits for requests that are under way, at most [Farewell]; what
// waits is not pushed.
func (s *Sender) Close() {
	s.end()
	defer s.client.CloseIdleConnections()
	defer s.abort()
	patience := time.NewTimer(Farewell)
	defer patience.Stop()
	for ended := s.ended; ended != nil || s.underWay.Load() > 0; {
		select {
		case <-ended:
			ended = nil
		case <-s.landed:
		case <-patience.C:
			return
		}
	}
}
