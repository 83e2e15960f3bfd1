// Package jetstream keeps a hub's messages in a stream of NATS JetStream, so
// that any number of Caddy nodes are one hub.
//
// A message is acknowledged when a quorum of the stream's replicas holds it. No
// node delivers a message because it has published it: each follows the whole
// stream and delivers what comes there, so all have one order and the same
// ids.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// openTimeout is how long Open waits until the stream's end is read. After that
// the store becomes usable later.
const openTimeout = 10 * time.Second

// Store is a [store.Store] in a JetStream stream.
type Store struct {
	hub      store.Hub
	config   config
	subjects subjects
	node     string
	logger   *zap.Logger

	nc *nats.Conn
	js jetstream.JetStream
	// have a value after a new connection, and after the loss of one
	connected, disconnected chan struct{}

	usable   chan struct{} // closed when the store is usable first
	stopped  chan struct{} // closed when run has ended
	ctx      context.Context
	cancel   context.CancelFunc
	batches  atomic.Bool // the server can answer with many messages
	loading  gates
	batching gate // keeps batches in one piece on servers that cannot
	creating gate // for one at a time who makes a room for which another has to go
	underway sync.WaitGroup
	notices  chan []byte   // for tell
	silent   chan struct{} // closed when tell has ended

	// away is set while NATS is not connected. The connection itself must not be
	// asked where others wait: it may be busy for seconds.
	away atomic.Bool
	conn atomic.Pointer[nats.Conn] // nc for its own callbacks; nil until it is known

	// only run touches these, and Open before
	created   time.Time // of the stream; zero until it is joined
	warmUntil uint64    // until where messages are read that are not new
	marks     []mark
	missing   time.Time // since when the stream is
	short     time.Time // since when it is

	mu        sync.RWMutex // guards all below
	limits    store.Limits
	index     *index
	physical  int // how many messages of a room the stream keeps
	nonces    nonces
	latest    store.ID
	position  uint64 // up to which all of the stream was read; written by run
	atomic    bool   // the stream can take batches
	flights   map[string]*flight
	arrivals  []arrival
	down      error // why the store cannot be used, or nil
	ready     bool  // the stream has been joined
	recent    recent
	forbidden error // what NATS has refused last
	refused   error // why NATS does not take the connection, if it is that
	sweep     *time.Timer
	closed    bool
}

// open opens the store. Servers that cannot be reached now are no error.
func open(hub store.Hub, limits store.Limits, config config, logger *zap.Logger) (*Store, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{
		hub:          hub,
		config:       config,
		subjects:     subjectsOf(config.stream),
		node:         nuid.Next(),
		logger:       logger,
		connected:    make(chan struct{}, 1),
		disconnected: make(chan struct{}, 1),
		usable:       make(chan struct{}),
		stopped:      make(chan struct{}),
		notices:      make(chan []byte, maxNotices),
		silent:       make(chan struct{}),
		ctx:          ctx,
		cancel:       cancel,
		limits:       limits,
		index:        newIndex(),
		flights:      make(map[string]*flight),
		down:         errAway,
	}
	if err := s.start(); err != nil {
		cancel()
		if s.nc != nil {
			s.nc.Close()
		}
		return nil, err
	}
	return s, nil
}

func (s *Store) start() error {
	nc, err := s.connect()
	if err != nil {
		return fmt.Errorf("connecting to NATS at %s: %w", s.config.place(), err)
	}
	s.nc = nc
	s.conn.Store(nc)
	if s.js, err = jetstream.New(nc); err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	reached := !s.away.Load()
	if reached {
		_, err := s.verified(s.ctx)
		if _, wrong := errors.AsType[configError](err); wrong {
			return fmt.Errorf("NATS at %s: %w", s.config.place(), err)
		}
		s.setUsable(err)
	}
	go s.run()
	go s.tell()
	s.sweepLater()
	if !reached {
		return nil
	}
	select {
	case <-s.usable:
	case <-time.After(openTimeout):
	}
	return nil
}

// setUsable notes whether the store can be used, and tells the hub the first
// time if that was not so from the beginning.
func (s *Store) setUsable(err error) {
	s.mu.Lock()
	before := s.down
	s.down = err
	if err == nil && s.position < s.warmUntil {
		s.down = errWarming
	}
	s.ready = s.ready || s.down == nil
	now, latest := s.down, s.latest
	s.mu.Unlock()
	if now != nil || before == nil {
		return
	}
	s.logger.Info("following the stream", zap.String("stream", s.config.stream), zap.Stringer("latest", latest))
	peer, ok := s.hub.(store.Peer)
	select {
	case <-s.usable:
	default:
		close(s.usable)
		if ok {
			peer.Began(latest)
		}
	}
	if ok {
		peer.Reached(nil)
	}
}

var errWarming = errors.New("the end of the stream is still being read")

// missed has the hub tell its readers that messages may be missing.
func (s *Store) missed(rollback bool) {
	s.mu.RLock()
	latest := s.latest
	s.mu.RUnlock()
	if peer, ok := s.hub.(store.Peer); ok {
		peer.Missed(latest, rollback)
	}
}

// check returns why the store cannot be used. The lock is held.
func (s *Store) check() error {
	switch {
	case s.closed:
		return store.ErrClosed
	case s.down != nil:
		return s.down
	case s.away.Load():
		return s.awayBecause()
	}
	return nil
}

// awayBecause is errAway and why, if that is known. The lock is held.
func (s *Store) awayBecause() error {
	if s.refused != nil {
		return fmt.Errorf("%w: %w", errAway, s.refused)
	}
	return errAway
}

func (s *Store) whyAway() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.awayBecause()
}

// readable returns why nothing can be read, not even what this node knows. The
// lock is held.
func (s *Store) readable() error {
	switch {
	case s.closed:
		return store.ErrClosed
	case !s.ready:
		return s.down
	}
	return nil
}

func (s *Store) usableNow() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.check()
}

func (s *Store) wanted() store.Limits {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.limits
}

// cutoff is the newest id that is too old to be seen. The lock is held.
func (s *Store) cutoff() store.ID {
	if s.limits.Age == 0 {
		return store.ID{}
	}
	return store.ID{Ms: time.Now().Add(-s.limits.Age).UnixMilli(), N: math.MaxUint64}
}

// Limit implements [store.Store]. The stream is changed too; if NATS cannot be
// reached now, the next node to start complains.
func (s *Store) Limit(limits store.Limits) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.limits = limits
	for _, r := range s.index.rooms {
		s.index.trim(r, limits.Count)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	if err := order(ctx, s, func() error { return s.update(ctx, limits) }); err != nil {
		s.logger.Error("the stream keeps what it kept before, because it cannot be changed now", zap.Error(err))
	}
}

// State implements [store.Store].
func (s *Store) State() store.State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return store.State{Latest: s.latest, Durable: true}
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.sweep != nil {
		s.sweep.Stop()
	}
	s.mu.Unlock()
	s.awaitFlights()
	s.cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		<-s.stopped
		<-s.silent
		s.nc.Close()
	}()
	// an exit does not wait for a server that reads nothing
	select {
	case <-closed:
	case <-time.After(requestTimeout):
	}
	return nil
}

// sweepLater sees to it that the memory of what has grown old is freed.
func (s *Store) sweepLater() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.sweep = time.AfterFunc(time.Minute, func() {
		s.mu.Lock()
		s.nonces.expire(time.Now())
		if s.limits.Age > 0 {
			s.index.expire(s.cutoff())
		}
		s.mu.Unlock()
		s.sweepLater()
	})
}

// Interface guards
var (
	_ store.Store   = (*Store)(nil)
	_ store.Lister  = (*Store)(nil)
	_ store.Relay   = (*Store)(nil)
	_ store.Witness = (*Store)(nil)
)
