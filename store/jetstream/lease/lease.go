package lease

import (
	"context"
	"errors"
	"time"
)

// Lease is held by this process until it is closed or lost. Its methods may be called by
// several goroutines at the same time, Close once.
type Lease struct {
	table *Table
	name  string
	first string
	by    string

	saves chan save
	close chan save
	lost  chan struct{} // closed when the lease has ended, for whatever reason
}

// save is a value to be written.
type save struct {
	value string
	done  chan error // receives the outcome; it has room for one element
}

// lease returns a lease whose first entry was written at a time or later.
func (t *Table) lease(life context.Context, name string, e entry, at time.Time) *Lease {
	l := &Lease{table: t, name: name, first: e.Value, by: e.By, saves: make(chan save), close: make(chan save), lost: make(chan struct{})}
	go l.hold(life, e, at)
	return l
}

// ID tells leases apart.
func (l *Lease) ID() string { return l.by }

// Value returns the value that there was when the lease was taken.
func (l *Lease) Value() string { return l.first }

// Lost returns a channel that is closed when another process may have the lease.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Save writes a value. It returns [ErrLost] if the lease is lost. After another error it may
// be written or not.
func (l *Lease) Save(ctx context.Context, value string) error { return l.send(ctx, l.saves, value) }

// Close gives the lease up, so that another process can take it at once.
func (l *Lease) Close(ctx context.Context) error { return l.send(ctx, l.close, "") }

func (l *Lease) send(ctx context.Context, to chan<- save, value string) error {
	s := save{value, make(chan error, 1)}
	select {
	case to <- s:
	case <-l.lost:
		return ErrLost
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold renews the lease until it is closed or lost. e is its newest entry, which was written
// at a time or later.
func (l *Lease) hold(life context.Context, e entry, at time.Time) {
	defer close(l.lost)
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		next, begin, err := l.renew(life, ticker.C, e, at)
		switch {
		case errors.Is(err, ErrLost):
			return
		case err == nil:
			e, at = next, begin
		}
	}
}

// renew waits until it is time to renew the lease, or until there is a value to be written, and
// returns the entry that it has written, and when it began to. e is the newest entry, which was
// written at a time or later. The error is [ErrLost] if the lease has ended.
func (l *Lease) renew(life context.Context, tick <-chan time.Time, e entry, at time.Time) (next entry, begin time.Time, err error) {
	held, cancel := context.WithDeadline(life, at.Add(lostAfter))
	defer cancel()
	var s save
	closing := false
	select {
	case <-tick:
		s = save{e.Value, make(chan error, 1)}
	case s = <-l.saves:
	case s = <-l.close:
		closing, s.value = true, e.Value
	case <-held.Done():
		return e, at, ErrLost
	}
	begin = time.Now()
	next, err = l.write(held, e, entry{Value: s.value, By: l.by, Held: !closing})
	s.done <- err
	if closing || held.Err() != nil {
		err = ErrLost
	}
	return next, begin, err
}

// write writes an entry that follows e, also if an earlier one has been written whose answer
// was lost. It returns [ErrLost] if another process has the lease.
func (l *Lease) write(ctx context.Context, e, next entry) (entry, error) {
	written, err := l.table.write(ctx, l.name, e.seq, next)
	if !errors.Is(err, errOutrun) {
		return written, err
	}
	now, err := l.table.read(ctx, l.name)
	if err != nil {
		return e, err
	}
	if now.By != l.by || !now.Held {
		return e, ErrLost
	}
	if written, err = l.table.write(ctx, l.name, now.seq, next); errors.Is(err, errOutrun) {
		return e, ErrLost
	}
	return written, err
}
