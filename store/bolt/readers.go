package bolt

import (
	"math"
	"sync"

	"go.etcd.io/bbolt"
)

// readers knows how old the transactions are that read the file. Its methods may be
// called by several goroutines at the same time.
type readers struct {
	mu sync.Mutex // guards all below
	// committed is the newest transaction that is known to be committed.
	committed uint64
	// reading counts the transactions that began when a transaction was the newest.
	reading map[uint64]int
}

// commit records that a transaction was committed.
func (r *readers) commit(tx uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = tx
}

// oldest returns the oldest transaction whose pages somebody may read, or the greatest
// number if nobody reads.
func (r *readers) oldest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := uint64(math.MaxUint64)
	for tx := range r.reading {
		oldest = min(oldest, tx)
	}
	return oldest
}

func (r *readers) begin() (tx uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading == nil {
		r.reading = make(map[uint64]int)
	}
	r.reading[r.committed]++
	return r.committed
}

func (r *readers) end(tx uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading[tx]--; r.reading[tx] == 0 {
		delete(r.reading, tx)
	}
}

// view calls read in a transaction. All reads must be made with it, because an eraser
// overwrites what no reader can see.
func (f *file) view(read func(*bbolt.Tx) error) error {
	tx := f.readers.begin()
	defer f.readers.end(tx)
	return f.db.View(read)
}
