package webhook

import (
	"context"
	"math/rand/v2"
	"time"
)

// accept records that the site has accepted the first n unsent entries.
func (r *round) accept(n int) {
	r.accepted, r.unsent = r.unsent[n-1].at, r.unsent[n:]
	if len(r.unsent) == 0 {
		r.accepted = r.position
	}
	r.tail.release(r.accepted)
	r.save(false)
	r.resetFailures()
	r.unstuck()
	r.up()
}

// fail records that a request has failed, and waits until the next attempt. That reads
// everything anew, so that nothing is held, and nothing told that was deleted meanwhile.
func (r *round) fail(valid context.Context, err error) {
	r.putBack()
	r.save(true)
	if r.failing.IsZero() {
		r.failing = time.Now()
	}
	if valid.Err() != nil || r.ctx.Err() != nil {
		r.resetFailures() // it was cut off, or the site is elsewhere now
		return
	}
	r.failures.Add(1)
	r.pause = r.limits.after(r.pause)
	wait := r.pause + rand.N(r.pause/4+1)
	if untilDown := r.limits.down - time.Since(r.failing); !r.down && untilDown <= wait {
		r.idle(valid, untilDown)
		wait -= max(0, untilDown)
		if valid.Err() == nil && r.ctx.Err() == nil {
			r.down = true
			r.reports.Down(err)
		}
	}
	r.idle(valid, wait)
	if valid.Err() != nil {
		r.resetFailures()
	}
}

// putBack discards the unsent entries, so that they are read again.
func (r *round) putBack() {
	for _, e := range r.unsent {
		if e.kind == gap {
			r.lose(e.reason)
		} else if r.stored {
			r.backlog.add(e.room, e.at)
		}
	}
	r.unsent, r.position = nil, r.accepted
}

// resetFailures clears the time of the first failure and the pause, because the site accepts
// again or the target has changed. down stays set, so that the recovery is still reported.
func (r *round) resetFailures() { r.failing, r.pause = time.Time{}, 0 }

// idle waits for some time, or until the target or the cursor is not valid any more.
func (r *round) idle(valid context.Context, d time.Duration) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	defer context.AfterFunc(valid, cancel)()
	sleep(ctx, d)
}

// save stores the place, not too often unless now is set.
func (r *round) save(now bool) {
	if r.cursor == nil || r.accepted == r.saved || !now && time.Since(r.savedAt) < r.limits.save {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.limits.store)
	defer cancel()
	r.savedAt = time.Now()
	if r.cursor.Save(ctx, r.accepted) == nil { // or it is repeated with the next; the store reports its own faults
		r.saved = r.accepted
	}
}

// giveUp stores the place for the last time, and gives the cursor up, even if the sender is
// closed.
func (r *round) giveUp() {
	ctx, cancel := context.WithTimeout(context.Background(), r.limits.grace)
	defer cancel()
	if r.accepted != r.saved {
		_ = r.cursor.Save(ctx, r.accepted)
	}
	_ = r.cursor.Close(ctx)
}
