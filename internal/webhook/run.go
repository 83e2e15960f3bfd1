package webhook

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// cursorName is the name of the cursor in the store.
const cursorName = "webhook"

// run tells the target, until the sender is to stop.
func (s *Sender) run() {
	defer close(s.done)
	for {
		target, valid, ok := s.current()
		if !ok {
			return
		}
		var err error
		if target == nil {
			s.place = nil
			if err = s.dropCursor(valid); err == nil {
				<-valid.Done()
			}
		} else {
			err = s.protected(valid)
		}
		s.oldest.Store(0)
		if err != nil && valid.Err() == nil {
			s.stuck(valid, err)
		}
	}
}

// stuck reports an error of the store, once, and once more if it lasts, and waits before the
// next attempt.
func (s *Sender) stuck(ctx context.Context, err error) {
	if err.Error() != s.said {
		s.said = err.Error()
		s.reports.Stuck(err)
	}
	if s.stuckSince.IsZero() {
		s.stuckSince = time.Now()
	}
	if !s.down && time.Since(s.stuckSince) >= s.limits.down {
		s.down = true
		s.reports.Down(err)
	}
	sleep(ctx, s.limits.shortest+rand.N(s.limits.shortest))
}

// unstuck records that the store can be used.
func (s *Sender) unstuck() { s.said, s.stuckSince = "", time.Time{} }

// up reports that the site is told again, if Down was reported.
func (s *Sender) up() {
	if s.down {
		s.down = false
		s.reports.Up()
	}
}

// protected calls attend and turns a panic into an error, so that it is tried again.
func (s *Sender) protected(valid context.Context) (err error) {
	defer contain.Panic("telling the site of a webhook", func() { err = errors.New("a panic, see above") })
	return s.attend(valid)
}

// sleep waits for some time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// dropCursor forgets where the site was.
func (s *Sender) dropCursor(ctx context.Context) error {
	cursors, ok := s.store.(store.Cursors)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.store)
	defer cancel()
	return cursors.DropCursor(ctx, cursorName)
}

// attend opens the cursor and tells the site from there, until there is no target any more,
// another process tells the site, or the log cannot be read.
func (s *Sender) attend(valid context.Context) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	r := &round{Sender: s, ctx: ctx, tail: newTail(), backlog: backlog{store: s.store}, poster: newPoster(s.limits.timeout)}
	defer r.poster.close()
	if cursors, ok := s.store.(store.Cursors); ok {
		cursor, err := cursors.OpenCursor(valid, cursorName)
		if err != nil {
			return err
		}
		defer r.giveUp()
		r.cursor, r.accepted, r.saved = cursor, cursor.At(), cursor.At()
		if lost := cursor.Lost(); lost != nil {
			go func() {
				select {
				case <-lost:
					cancel()
				case <-ctx.Done():
				}
			}()
		}
	}
	latest := s.hub.Follow(r.tail)
	defer s.hub.Unfollow(r.tail)
	r.tail.follow(latest)
	s.following.Store(true)
	defer s.following.Store(false)
	if r.cursor == nil && s.place == nil {
		r.accepted = latest // there is nothing from before
	} else if r.cursor == nil {
		r.accepted, r.rescan = *s.place, true // after a panic
	} else if err := r.checkPlace(); err != nil {
		return err
	}
	r.position = r.accepted
	defer func() {
		place := r.accepted
		s.place = &place
	}()
	r.tell()
	return nil
}

// round is the time in which a sender has the cursor. Only its goroutine may use it.
type round struct {
	*Sender

	ctx     context.Context // ends when the sender is closed, or has lost the cursor
	tail    *tail
	backlog backlog
	poster  *poster
	cursor  store.Cursor // nil if the store keeps none

	accepted store.ID // up to where the site has accepted everything
	saved    store.ID // the cursor's place in the store
	savedAt  time.Time
	position store.ID // up to where everything is accepted, or in unsent
	unsent   []entry
	stored   bool // unsent is from the store, not from the tail
	readAt   time.Time
	gap      string // the reason of a gap that the site is still to be told, or ""
	rescan   bool   // any room may have something that neither tail nor backlog know of

	failing time.Time // since when the site accepts nothing; zero if it does
	pause   time.Duration
}

// checkPlace checks that the log still has the place of the cursor.
func (r *round) checkPlace() error {
	r.rescan = true
	witness, ok := r.store.(store.Witness)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.limits.store)
	defer cancel()
	known, err := witness.Witness(ctx, r.accepted)
	if err == nil && !known {
		r.gap, r.accepted = rollback, store.ID{}
		r.saved = r.accepted // so that the place is kept, and found wrong again, until the site has the gap
	}
	return err
}

// scan finds the rooms that have something new, also what the tail has not heard of.
func (r *round) scan() error {
	ctx, cancel := context.WithTimeout(r.ctx, r.limits.store)
	defer cancel()
	lost, err := r.backlog.scan(ctx, r.position)
	if err == nil {
		r.rescan = false
	}
	if lost {
		r.lose(expired)
	}
	return err
}

// lose records that the site must be told of a gap. Several losses before that are one gap.
func (r *round) lose(reason string) {
	if r.gap == "" {
		r.gap = reason
	}
}

// tell tells the site what there is to tell, until there is no target any more, or another
// process tells it.
func (r *round) tell() {
	for r.ctx.Err() == nil {
		target, valid, ok := r.current()
		if !ok || target == nil {
			return
		}
		more, err := r.fill()
		switch {
		case err != nil:
			r.oldest.CompareAndSwap(0, time.Now().UnixMilli()) // what is unread is not known
			r.stuck(valid, err)
		case !more:
			r.save(false)
			r.wait(valid)
		default:
			body, n := encode(r.unsent)
			if err := r.poster.post(r.ctx, valid, r.limits.grace, target, body); err == nil {
				r.accept(n)
			} else {
				r.fail(valid, err)
			}
		}
	}
}

// wait waits until there may be something to do.
func (r *round) wait(valid context.Context) {
	r.oldest.Store(0)
	r.unstuck()
	if r.failing.IsZero() {
		r.up()
	}
	var toSave <-chan time.Time
	if r.cursor != nil && r.accepted != r.saved {
		toSave = time.After(r.limits.save)
	}
	select {
	case <-r.tail.woken:
	case <-toSave:
	case <-valid.Done():
	case <-r.ctx.Done():
	}
}

// fill reads what comes next, if nothing is unsent. What was read some time ago is read again,
// so that nothing is told that was deleted since. It reports whether there is something.
func (r *round) fill() (bool, error) {
	if time.Since(r.readAt) > r.limits.fresh {
		r.putBack()
	}
	if len(r.unsent) == 0 {
		r.readAt = time.Now()
	}
	for len(r.unsent) == 0 {
		n := r.tail.after(r.position, maxBatch)
		_, unread := r.backlog.oldest(r.position)
		if !n.behind && r.gap == "" && !r.rescan && !unread {
			r.unsent, r.stored = n.entries, false
			if len(n.entries) > 0 {
				r.position = n.entries[len(n.entries)-1].at
			}
			break
		}
		for room, bound := range n.rooms {
			r.backlog.add(room, bound)
		}
		if n.rolledBack {
			r.lose(rollback)
		}
		if r.rescan = r.rescan || n.missed || r.backlog.isCrowded(); r.rescan {
			if err := r.scan(); err != nil {
				return false, err
			}
		}
		if err := r.read(n.upTo); err != nil {
			return false, err
		}
	}
	if len(r.unsent) == 0 {
		return false, nil
	}
	for _, e := range r.unsent {
		if e.kind != gap {
			r.oldest.Store(e.at.Ms)
			break
		}
	}
	return true, nil
}

// read reads a page from the store, up to an id. The site is told of a gap before it.
func (r *round) read(upTo store.ID) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.limits.store)
	defer cancel()
	upTo = store.Newest(upTo, r.position)
	p, err := r.backlog.read(ctx, r.position, upTo)
	if err != nil {
		return err
	}
	if p.lost {
		r.lose(expired)
	}
	if r.gap != "" {
		r.unsent = append(r.unsent, entry{at: r.position, kind: gap, reason: r.gap})
		r.gap = ""
	}
	r.unsent, r.stored = append(r.unsent, p.entries...), true
	r.position = p.end
	return nil
}
