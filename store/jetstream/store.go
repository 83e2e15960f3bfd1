// Package jetstream keeps a hub's messages in a stream of NATS JetStream, so that
// any number of Caddy nodes form one hub.
//
// A message is acknowledged when a quorum of the stream's replicas has it. A node
// does not deliver its own messages when it publishes them. Each node follows the
// whole stream and delivers what it reads there, so all nodes have the same order
// and the same ids.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// openTimeout is how long open waits until the node follows the stream. After that
// it returns, and the store becomes usable later.
const openTimeout = 10 * time.Second

// Store is a [store.Store] in a JetStream stream. Its methods may be called by
// several goroutines at the same time.
//
// The goroutine of run follows the stream. All calls of the hub come from it, or from
// open before it starts, with two exceptions: publishers call Reading when a room
// has to be dropped, and nats.go calls Told in a goroutine of its own.
type Store struct {
	hub      store.Hub
	config   config
	subjects subjects
	node     string // a random name, to recognize its own notices
	logger   *zap.Logger

	nc *nats.Conn
	js jetstream.JetStream
	// wake run after a new connection, and after the loss of one
	connected, disconnected chan struct{}

	usable  chan struct{} // closed when the node follows the stream for the first time
	stopped chan struct{} // closed when run has ended
	ctx     context.Context
	cancel  context.CancelFunc
	batches atomic.Bool // the server can return many messages for one request
	// rollups is set if a message can replace the older ones of its subject. In servers
	// before 2.11, the consumers of other subjects then skip messages.
	rollups atomic.Bool

	loading  roomLocks           // exclusive for loading a room
	batching *semaphore.Weighted // exclusive for a batch, on servers that do not support batches
	creating *semaphore.Weighted // exclusive for creating a room when another has to be dropped
	changing roomLocks           // exclusive for changing a message

	appends sync.WaitGroup // publishing calls in progress
	notices chan []byte    // queued for tell
	silent  chan struct{}  // closed when tell has ended

	// away is set while NATS is not connected. The connection itself may block
	// for seconds when it is asked.
	away atomic.Bool
	conn atomic.Pointer[nats.Conn] // nc for its own callbacks; nil until connect has returned

	// only run uses these fields, and open before that
	created     time.Time // creation time of the stream; zero until it is joined
	replayUntil uint64    // messages up to this sequence are older than this node's join
	marks       []mark
	missing     grace // the stream does not exist
	short       grace // the stream is shorter than what was read of it

	mu        sync.RWMutex // guards all below
	limits    store.Limits
	index     *index
	physical  int // how many messages of each room the stream keeps
	nonces    nonces
	fresh     fresh
	latest    store.ID
	position  uint64 // the stream was read up to this sequence; written by run only
	atomic    bool   // the stream supports batches
	pending   map[string]*pending
	waiters   []waiter
	status    status
	recent    recentIDs
	forbidden error // the last permission error of NATS
	refused   error // why NATS refuses the connection, or nil
	sweep     *time.Timer
	held      map[string]heldCursor // the last that this node had of each cursor
}

// open opens the store. It is no error if no server can be reached now.
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
		loading:      newRoomLocks(),
		batching:     newLock(),
		creating:     newLock(),
		changing:     newRoomLocks(),
		pending:      make(map[string]*pending),
		status:       status{joining, errAway},
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
		s.setStatus(err)
	}
	go s.run()
	go s.tell()
	go s.collectGarbage()
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

// missed calls [store.Peer.Missed].
func (s *Store) missed(rollback bool) {
	s.mu.RLock()
	latest := s.latest
	s.mu.RUnlock()
	if peer, ok := s.hub.(store.Peer); ok {
		peer.Missed(latest, rollback)
	}
}

// wanted returns the limits that the stream should have.
func (s *Store) wanted() store.Limits {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.limits
}

// Limit implements [store.Store]. It also changes the stream. If that fails because
// NATS cannot be reached, the next node that starts returns an error.
func (s *Store) Limit(limits store.Limits) {
	s.mu.Lock()
	if s.status.phase == closed {
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
	if err := callErr(ctx, s, func() error { return s.update(ctx, limits) }); err != nil {
		s.logger.Error("cannot change the stream now; it keeps its old limits", zap.Error(err))
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
	if s.status.phase == closed {
		s.mu.Unlock()
		return nil
	}
	s.status = status{phase: closed}
	if s.sweep != nil {
		s.sweep.Stop()
	}
	s.mu.Unlock()
	s.awaitAppends()
	s.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-s.stopped
		<-s.silent
		s.nc.Close()
	}()
	// an exit does not wait for a server that has stopped reading
	select {
	case <-done:
	case <-time.After(requestTimeout):
	}
	return nil
}

// awaitAppends waits until publishing calls in progress have returned, for a limited
// time.
func (s *Store) awaitAppends() {
	done := make(chan struct{})
	go func() {
		s.appends.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(requestTimeout):
	}
}

// sweepLater starts the timer that frees the memory of expired ids and nonces.
func (s *Store) sweepLater() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.phase == closed {
		return
	}
	s.sweep = time.AfterFunc(time.Minute, func() {
		s.mu.Lock()
		s.nonces.expire(time.Now())
		if s.limits.Age > 0 {
			s.index.expire(s.limits.Cutoff(time.Now()))
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
	_ store.Cursors = (*Store)(nil)

	_ store.RoomFinder = (*Store)(nil)
)
