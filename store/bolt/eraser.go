package bolt

import (
	"bytes"
	"sync"
	"time"
)

// eraser overwrites what was deleted or replaced. bbolt writes each change to other
// pages, and free pages keep what they held until they are used again: perhaps older
// copies of a page, too. So after a transaction that has removed something, all free
// pages are overwritten with zeros, except those that hold zeros already.
//
// This happens when the second transaction after it begins: then neither of the two last
// ones can reach these pages, so that a crash at any moment leaves the file intact, and
// no reader may be left that can. The sync of that transaction is that of the zeros, too.
// Until then logRecord.erase is set, so that the next process goes on with it after a
// crash.
//
// Only the writing goroutine uses an eraser, except for its lock.
type eraser struct {
	file *file
	// clean is the free pages that hold zeros; nil if none is known.
	clean pageSet
	// due is pages that have been free since a transaction, and must be overwritten;
	// later is the same for a later one.
	due, later     pageSet
	since, laterAt uint64
	// again is set if the last transaction has removed something, or if it is unknown
	// what free pages hold.
	again  bool
	buffer []byte

	mu      sync.Mutex // guards waiting
	waiting time.Time  // since when something is to be overwritten, or zero
}

const (
	// eraseStep is how many bytes one transaction overwrites at most.
	eraseStep = 64 << 20
	// eraseAtOnce is how many bytes are read and overwritten at once, or a page.
	eraseAtOnce = 64 << 10
	// eraseAfter is how long an eraser waits for the transactions of publishers before
	// the store makes some of its own.
	eraseAfter = time.Second
)

var zeros [eraseAtOnce]byte

// begin overwrites what it can before a transaction writes anything. last is the newest
// transaction that was committed.
func (e *eraser) begin(last uint64) error {
	if !e.again && e.clean == nil && e.due == nil {
		return nil
	}
	info, err := e.file.disk.Stat()
	if err != nil {
		return err
	}
	free, meta, err := freePages(e.file.disk, info.Size())
	if err != nil {
		return err
	}
	for _, pages := range []pageSet{e.clean, e.due, e.later} {
		pages.keep(free) // the others were used again, and overwritten by that
	}
	if e.again {
		e.later, e.laterAt, e.again = free, last, false
		e.later.remove(e.clean)
	}
	if e.due.empty() {
		e.due, e.since, e.later = e.later, e.laterAt, nil
		e.due.remove(e.clean)
	}
	if last <= e.since || e.file.readers.oldest() < e.since {
		return nil
	}
	return e.overwrite(int(meta.pageSize)) //nolint:gosec // at most 16 MB
}

// overwrite overwrites the pages that are due.
func (e *eraser) overwrite(pageSize int) error {
	most := max(1, eraseAtOnce/pageSize)
	if e.buffer == nil {
		e.buffer = make([]byte, most*pageSize)
	}
	for left := eraseStep / pageSize; left > 0; {
		first, count := e.due.run(most)
		if count == 0 {
			break
		}
		left -= count
		at, run := int64(first)*int64(pageSize), e.buffer[:count*pageSize]
		if _, err := e.file.disk.ReadAt(run, at); err != nil {
			return err
		}
		if !isZero(run) {
			clear(run)
			if _, err := e.file.disk.WriteAt(run, at); err != nil {
				return err
			}
		}
		e.due.cut(first, count)
		e.clean = e.clean.grown(first + uint64(count))
		for id := range uint64(count) {
			e.clean.add(first + id)
		}
	}
	return nil
}

func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// pending reports whether something is still to be overwritten, after begin.
func (e *eraser) pending() bool { return e.again || !e.due.empty() || !e.later.empty() }

// commit records that a transaction was committed, and whether it has removed something.
// It reports whether anything is to be overwritten that was not before.
func (e *eraser) commit(removed bool) bool {
	e.again = e.again || removed
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.waiting
	if !e.pending() {
		e.waiting = time.Time{}
	} else if was.IsZero() {
		e.waiting = time.Now()
	}
	return was.IsZero() && !e.waiting.IsZero()
}

// forget records that it is unknown what free pages hold: a transaction may have written
// to them, and has failed.
func (e *eraser) forget() {
	if e.again || e.clean != nil || e.due != nil {
		e.clean, e.due, e.later, e.again = nil, nil, nil, true
	}
}

// wait returns how long to wait until the store should make transactions of its own. It
// reports false if nothing is to be overwritten. It may be called by any goroutine.
func (e *eraser) wait() (time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return eraseAfter - time.Since(e.waiting), !e.waiting.IsZero()
}

// postpone makes wait begin anew. It may be called by any goroutine.
func (e *eraser) postpone() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.waiting.IsZero() {
		e.waiting = time.Now()
	}
}

// eraseSteps is how many transactions an eraser needs, unless it waits for a reader or
// has more than eraseStep to overwrite.
const eraseSteps = 2

// eraseLater makes transactions if those of publishers do not come.
func (s *Store) eraseLater() error {
	wait, waits := s.eraser.wait()
	if !waits || wait > 0 {
		return nil
	}
	for range eraseSteps {
		if err := s.submit(s.trims.ctx, cost{}, func(*transaction) error { return nil }); err != nil {
			return err
		}
	}
	s.eraser.postpone()
	return nil
}

// eraseAll makes transactions before the store is closed.
func (s *Store) eraseAll() {
	for n := 0; n < eraseSteps && s.eraser.pending() && s.damaged() == nil; n++ {
		s.commit(nil)
	}
}
