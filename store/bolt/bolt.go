// Package bolt keeps a hub's messages in a file, with bbolt.
//
// One goroutine writes: a transaction takes in all that waits, so that many
// publishers share what one sync costs. Reads look their messages up by key,
// in transactions of one page each, so that nothing that is written has to
// wait for a long one, and no free page is held back by it.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// Store is a [store.Store] in a file.
type Store struct {
	hub    store.Hub
	file   *file
	path   string
	logger *zap.Logger
	now    func() time.Time
	origin store.ID
	latest atomic.Pointer[store.ID] // that was delivered, or is about to be

	mu      sync.Mutex // guards all below
	limits  store.Limits
	cuts    []cut
	waiting []*change
	closed  bool
	damage  error // set for good when the file cannot be trusted any more

	watched chan struct{} // closed when watch has ended
	wake    chan struct{} // for write, when something waits or the store is closed
	written chan struct{} // closed when write has ended
	nonces  nonces
	trims   trims

	// only the writing goroutine touches what follows
	clock store.Clock
	idle  *idleRooms // nil until there were too many rooms
}

// cut is a limit on what each room keeps of what is no newer than upTo. It
// holds until all rooms have been trimmed to it. If the process ends before, and
// the next one keeps more again, some of what was hidden is seen again.
type cut struct {
	upTo  store.ID
	count int
}

// Open opens a hub's file, or makes it. The error names the file.
func Open(path, name string, hub store.Hub, limits store.Limits, logger *zap.Logger) (*Store, error) {
	s, err := open(path, name, hub, limits, logger, time.Now)
	if err != nil {
		if _, panicked := errors.AsType[*panicError](err); panicked && logger != nil {
			logger.Error("a panic while the store was opened", zap.String("file", path), stackField(err))
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
	// the file may come from a time when more was kept
	s.cuts = []cut{{log.latest, limits.Count}}
	s.nonces.init()
	s.trims.init()
	go s.write()
	go s.trim()
	go s.watch()
	return s, nil
}

// logMode tells of a file that other users of the machine could read.
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

// watchEvery is how often the file is looked for while nothing is written.
const watchEvery = time.Second

// watch takes the store out of service as soon as its file is gone.
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

// readLog reads the log's record. In a new file it makes it.
func (s *Store) readLog() (log logRecord, err error) {
	err = protect(func() error {
		return s.file.db.View(func(tx *bbolt.Tx) error {
			if tx.Bucket(logBucket) == nil {
				return nil
			}
			version, err := unseal(formatKey, tx.Bucket(logBucket).Get(formatKey))
			if err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			if !bytes.Equal(version, []byte{format}) {
				return fmt.Errorf("it has the format %x, and this version knows %d only", version, format)
			}
			for _, name := range allBuckets {
				if tx.Bucket(name) == nil {
					return fmt.Errorf("%w: it has no bucket %q", errDamaged, name)
				}
			}
			log, err = getLog(tx)
			return err
		})
	})
	if err != nil || !log.origin.IsZero() {
		return log, err
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
			b := tx.Bucket(logBucket)
			return errors.Join(b.Put(formatKey, seal(formatKey, []byte{format})), b.Put(logKey, seal(logKey, log.encode())))
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

// retention returns what is kept now.
func (s *Store) retention() retention {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := retention{limits: s.limits, cuts: slices.Clip(s.cuts)}
	if s.limits.Age > 0 {
		r.cutoff = store.ID{Ms: s.now().Add(-s.limits.Age).UnixMilli(), N: math.MaxUint64}
	}
	return r
}

// retention tells what of a room is seen.
type retention struct {
	limits store.Limits
	cuts   []cut
	// cutoff is the newest id that is too old.
	cutoff store.ID
}

// usable returns why the store can do nothing any more, or nil.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state()
}

// state is usable for those who hold mu.
func (s *Store) state() error {
	if s.closed {
		return store.ErrClosed
	}
	return s.damage
}

// failed notes an error. If the file cannot be trusted any more, nothing is
// read from it or written to it from then on: it might be half of the truth.
func (s *Store) failed(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	if !spoils(err) {
		return s.plain(err)
	}
	s.mu.Lock()
	first := s.damage == nil && !s.closed
	if first {
		s.damage = fmt.Errorf("out of service until a restart: %w", s.plain(err))
	}
	fault := s.state()
	s.mu.Unlock()
	if first {
		s.logger.Error("the store is out of service until a restart", zap.String("file", s.path), zap.Error(err), stackField(err))
		if peer, ok := s.hub.(store.Peer); ok {
			peer.Reached(fault)
		}
	}
	return fault
}

// view reads from the file. Afterwards nothing of it may be touched.
func (s *Store) view(ctx context.Context, read func(*bbolt.Tx) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.read(read)
}

// look is view for someone who may not want to wait for it: while the file grows,
// bbolt has readers wait for others that began before. What read touches is its
// own, because it may go on when nobody waits any more.
func look[T any](ctx context.Context, s *Store, read func(*bbolt.Tx) (T, error)) (found T, err error) {
	type result struct {
		found T
		err   error
	}
	if err := s.usable(); err != nil {
		return found, err
	}
	if err := ctx.Err(); err != nil {
		return found, err
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = s.read(func(tx *bbolt.Tx) (err error) {
			r.found, err = read(tx)
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return found, r.err
		}
		return r.found, nil
	case <-ctx.Done():
		return found, ctx.Err()
	}
}

func (s *Store) read(read func(*bbolt.Tx) error) error {
	if err := protect(func() error { return s.file.db.View(read) }); err != nil {
		return s.failed(err)
	}
	return nil
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
	s.wakeWriter()
	<-s.written
	s.trims.close()
	<-s.watched
	return s.file.close(damaged)
}
