package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// errDamaged is wrapped by errors that mean that the file cannot be trusted any
// more.
var errDamaged = errors.New("the file is damaged")

// errGone is wrapped by errors that mean that a restart would not find what is
// written to the file.
var errGone = errors.New("the file is not where it was when it was opened")

// usable returns why the store is out of service, or nil.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state()
}

// state is usable for callers that hold mu.
func (s *Store) state() error {
	if s.closed {
		return store.ErrClosed
	}
	return s.damage
}

// failed turns an error of bbolt into the one to return. If the error means that
// the file cannot be trusted any more, it takes the store out of service.
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

func (s *Store) damaged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damage
}

// plain removes the file's path from an error that publishers see.
func (s *Store) plain(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	if text := err.Error(); strings.Contains(text, s.path) { // bbolt's, if the file cannot grow
		return errors.New(strings.ReplaceAll(text, s.path, "the file"))
	}
	return err
}

// panicError is a recovered panic. It is unknown whether damage in the file or a
// bug has caused it, so it keeps the stack for the log.
type panicError struct {
	reason any
	stack  []byte
}

func (e *panicError) Error() string {
	if fault, ok := e.reason.(interface{ Addr() uintptr }); ok {
		return fmt.Sprintf("the file's memory cannot be read at %#x: it was cut off, or its disk fails", fault.Addr())
	}
	return fmt.Sprintf("a panic while it was read or written, perhaps because it is damaged: %v", e.reason)
}

// stackField is the stack of an error that was a panic, or an empty field.
func stackField(err error) zap.Field {
	if panicked, ok := errors.AsType[*panicError](err); ok {
		return zap.ByteString("stack", panicked.stack)
	}
	return zap.Skip()
}

// protect calls do. It turns a panic of bbolt, or a fault in the memory that the
// file is mapped to, into an error.
func protect(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason, debug.Stack()}
		}
	}()
	return do()
}

// spoils reports whether an error means that later writes cannot be trusted. After
// a failed sync, the kernel may have dropped the data, and later syncs succeed.
func spoils(err error) bool {
	for _, damage := range []error{errDamaged, errGone, errChecksum, errLength, errCount, errKind, errRevision, bolterrors.ErrInvalidMapping} {
		if errors.Is(err, damage) {
			return true
		}
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return true // bbolt may still hold its locks
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Op == "sync"
	}
	_, ok := errors.AsType[syscall.Errno](err) // from fdatasync or mmap
	return ok
}
