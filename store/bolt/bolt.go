// Package bolt keeps a hub's messages in a file, with bbolt.
//
// One goroutine writes. Each of its transactions takes all waiting changes, so
// that many publishers share the cost of one sync. Reads find their messages by
// key, in transactions of one page each, because a long one would delay writes
// and keep free pages from being used again.
package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// Store is a [store.Store] in a file. Its methods may be called by several
// goroutines at the same time.
type Store struct {
	hub    store.Hub
	file   *file
	path   string
	logger *zap.Logger
	now    func() time.Time
	origin store.ID
	latest atomic.Pointer[store.ID] // the newest id that was delivered, or is about to be

	mu      sync.Mutex // guards all below
	limits  store.Limits
	cuts    []cut
	waiting []*change
	closed  bool
	damage  error // why the file cannot be trusted any more; never reset

	watched chan struct{} // closed when watch has ended
	wake    chan struct{} // wakes write when a change waits or the store is closed
	written chan struct{} // closed when write has ended
	nonces  nonces
	trims   trims

	// only the writing goroutine uses the fields below
	clock  store.Clock
	idle   *idleRooms // nil until a room has to be dropped for the first time
	eraser eraser
}

// cut limits each room to count messages among those no newer than upTo. It stays
// in force until all rooms have been trimmed to it. If the process ends before
// that, and the next one has a higher limit, some hidden messages reappear.
type cut struct {
	upTo  store.ID
	count int
}

// Open opens the file of the hub called name, and creates it if it does not
// exist. A nil logger logs nothing. The error names the file.
func Open(path, name string, hub store.Hub, limits store.Limits, logger *zap.Logger) (*Store, error) {
	s, err := open(path, name, hub, limits, logger, time.Now)
	if err != nil {
		if _, panicked := errors.AsType[*panicError](err); panicked && logger != nil {
			logger.Error("panic while opening the store", zap.String("file", path), stackField(err))
		}
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return s, nil
}

func open(path, name string, hub store.Hub, limits store.Limits, logger *zap.Logger, now func() time.Time) (*Store, error) {
	file, err := openFile(path, name)
	if err != nil {
		return nil, err
	}
	s := &Store{
		hub: hub, file: file, path: path, logger: logger, limits: limits, now: now,
		wake: make(chan struct{}, 1), written: make(chan struct{}), watched: make(chan struct{}),
	}
	if s.logger == nil {
		s.logger = zap.NewNop()
	}
	s.logMode()
	s.removeCopies()
	log, err := s.readLog()
	if err != nil {
		_ = file.close(spoils(err))
		return nil, err
	}
	s.origin = log.origin
	s.clock.Restore(log.latest)
	s.latest.Store(&log.latest)
	s.eraser.file = file
	s.eraser.commit(log.erase)
	// the file may hold more, from a time with higher limits
	s.cuts = []cut{{log.latest, limits.Count}}
	s.nonces.init()
	s.trims.init()
	go s.write()
	go s.trim()
	go s.watch()
	return s, nil
}

// logMode logs a warning if other users of the machine could open the file.
func (s *Store) logMode() {
	mode, file := zap.Stringer("mode", s.file.exposed), zap.String("file", s.path)
	switch {
	case s.file.exposed == 0:
	case s.file.exposedStill == nil:
		s.logger.Warn("other users of this machine could open the file; from now on only its owner can", file, mode)
	default:
		s.logger.Warn("other users of this machine can open the file, and that cannot be changed", file, mode, zap.Error(s.file.exposedStill))
	}
}

// watchEvery is how often watch checks that the file is still in its place.
const watchEvery = time.Second

// watch takes the store out of service when its file is gone, even if nothing is
// written.
func (s *Store) watch() {
	defer close(s.watched)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.trims.ctx.Done():
			return
		}
		if err := s.file.present(); err != nil {
			_ = s.failed(err)
			return
		}
	}
}

// readLog reads the log's record. In a new file it creates the record and the
// buckets. It upgrades a file of an older format.
func (s *Store) readLog() (log logRecord, err error) {
	old := false
	err = protect(func() error {
		return s.file.view(func(tx *bbolt.Tx) error {
			if tx.Bucket(logBucket) == nil {
				return nil
			}
			version, err := unseal(formatKey, tx.Bucket(logBucket).Get(formatKey))
			if err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			old = bytes.Equal(version, []byte{oldFormat})
			if !old && !bytes.Equal(version, []byte{format}) {
				return fmt.Errorf("it has the format %x, and this version only supports %d", version, format)
			}
			for _, name := range allBuckets {
				if tx.Bucket(name) == nil {
					return fmt.Errorf("%w: it has no bucket %q", errDamaged, name)
				}
			}
			if newest, _ := tx.Bucket(noncesBucket).Cursor().Last(); len(newest) == idLen {
				s.clock.Restore(decodeID(newest)) // it may be that of a change without effect
			}
			log, err = getLog(tx)
			return err
		})
	})
	switch {
	case err != nil:
		return log, err
	case old:
		return log, s.upgrade(&log)
	case !log.origin.IsZero():
		return log, nil
	}
	id := s.clock.Next(s.now().UnixMilli())
	log = logRecord{origin: id, latest: id}
	return log, protect(func() error {
		return s.file.db.Update(func(tx *bbolt.Tx) error {
			for _, name := range allBuckets {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			return putLog(tx, &log)
		})
	})
}

func getLog(tx *bbolt.Tx) (log logRecord, err error) {
	payload, err := unseal(logKey, tx.Bucket(logBucket).Get(logKey))
	if err != nil {
		return log, fmt.Errorf("the log's record: %w", err)
	}
	return decodeLog(payload)
}

// State implements [store.Store].
func (s *Store) State() store.State {
	return store.State{Origin: s.origin, Latest: *s.latest.Load(), Durable: true}
}

// Limit implements [store.Store].
func (s *Store) Limit(limits store.Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limits.Count < s.limits.Count {
		s.cuts = append(s.cuts, cut{*s.latest.Load(), limits.Count})
	}
	s.limits = limits
	s.trims.sweepSoon()
}

// retention returns what readers can see now.
func (s *Store) retention() retention {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := retention{limits: s.limits, cuts: slices.Clip(s.cuts)}
	r.cutoff = s.limits.Cutoff(s.now())
	return r
}

// retention decides which messages of a room readers can see.
type retention struct {
	limits store.Limits
	cuts   []cut
	// cutoff is the newest id that is too old, see [store.Limits.Cutoff].
	cutoff store.ID
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	damaged := s.damage != nil && !errors.Is(s.damage, errGone)
	s.mu.Unlock()
	if closed {
		return nil
	}
	wake.Up(s.wake)
	<-s.written
	s.trims.close()
	<-s.watched
	return s.file.close(damaged)
}
