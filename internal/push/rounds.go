package push

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/contain"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/internal/wake"
	"github.com/sse-chat/caddy-sse-chat/store"
)

// interval is the least time between two pushes of a room to a subscription.
var interval = 10 * time.Second // but for tests

const (
	// returning is the delay before checking again whether someone who just left is back.
	returning = 5 * time.Second
	// staysTrue is how long a check that someone is away and subscribed stays valid.
	staysTrue = time.Second
	// maxTries is how often a message is tried to be pushed to a subscription.
	maxTries = 5
	// maxSlots is how many rooms of subscriptions are remembered. Beyond that messages are
	// dropped.
	maxSlots = 200_000
	// maxLogged is how many different failures are logged.
	maxLogged = 1000
)

// rounds decides who is pushed what, and when. Only the sender's goroutine uses it.
type rounds struct {
	sender     *Sender
	recipients map[string]*recipient // by endpoint
	due        schedule
	outbox     outbox
	results    chan result
	watch      watch
	news       news // of messages that wait
	logged     map[string]bool
}

// recipient is an endpoint that was pushed something lately.
type recipient struct {
	endpoint string
	slots    map[string]*slot // by room
	// notBefore is how long the endpoint waits after a failure.
	notBefore time.Time
	failures  int // since the last success
}

// slot is a room of a recipient. It has one request under way at a time, and the newest
// message that waits.
type slot struct {
	to      *recipient
	room    string
	waiting *notice // nil if nothing waits
	tries   int     // of what waits or is under way
	busy    bool    // a request is queued or under way
	sending *notice // nil if none is under way
	at      time.Time
	index   int // in the schedule
}

// result is what became of a job.
type result struct {
	job
	outcome outcome
}

func newRounds(s *Sender) *rounds {
	return &rounds{
		sender: s, recipients: make(map[string]*recipient), logged: make(map[string]bool),
		outbox: newOutbox(), results: make(chan result, maxUnderWay),
	}
}

// run queues messages and pushes what is due. It returns when to call it again: idle if nothing
// waits.
func (r *rounds) run(messages []*store.Message, now time.Time) time.Duration {
	d := r.sender.desk.Load()
	isDue := len(r.due) > 0 && !r.due[0].at.After(now)
	// after a reload the storage may be another value
	if len(messages) > 0 || isDue || len(r.due) > 0 && !d.shelf.book.isComplete() {
		r.look(d)
	}
	for _, m := range messages {
		r.queue(d, m, now)
	}
	r.pushDue(d, now)
	r.start(d, now)
	if r.outbox.isReadyForMore() {
		return time.Millisecond
	}
	if len(r.due) == 0 {
		r.news = news{}
		return idle
	}
	return min(max(time.Until(r.due[0].at), 10*time.Millisecond), idle-1)
}

// isEnding reports whether nothing new is to begin.
func (r *rounds) isEnding() bool { return r.sender.ending.Err() != nil }

// queue puts a message into the slots of all who want it.
func (r *rounds) queue(d *desk, m *store.Message, now time.Time) {
	subs := d.shelf.book.in(m.Room)
	if len(subs) == 0 {
		return
	}
	n := noticeOf(m, now)
	for _, sub := range subs {
		if r.isEnding() {
			return
		}
		if !sub.wants(n) {
			continue
		}
		s := r.slotOf(sub.Endpoint, m.Room, now)
		if s == nil {
			r.sender.Counts.fail(reasonDropped)
			continue
		}
		s.waiting, s.tries = n, 0
	}
}

// slotOf returns the slot of a room of an endpoint, or nil if there are too many. A new one is
// due at once.
func (r *rounds) slotOf(endpoint, room string, now time.Time) *slot {
	to := r.recipients[endpoint]
	if to != nil && to.slots[room] != nil {
		return to.slots[room]
	}
	if len(r.due) >= maxSlots {
		return nil
	}
	if to == nil {
		to = &recipient{endpoint: endpoint, slots: make(map[string]*slot)}
		r.recipients[endpoint] = to
	}
	s := &slot{to: to, room: room, at: now}
	to.slots[room] = s
	heap.Push(&r.due, s)
	return s
}

// drop forgets a slot, which is not in the schedule any more.
func (r *rounds) drop(s *slot) {
	delete(s.to.slots, s.room)
	if len(s.to.slots) == 0 {
		delete(r.recipients, s.to.endpoint)
	}
}

// again puts a slot back into the schedule.
func (r *rounds) again(s *slot, at time.Time) {
	s.at = at
	heap.Push(&r.due, s)
}

// pushDue queues a request for each slot that is due and whose person is away.
func (r *rounds) pushDue(d *desk, now time.Time) {
	var jobs []job
	var people []string
	for len(r.due) > 0 && !r.due[0].at.After(now) {
		s := heap.Pop(&r.due).(*slot)
		switch {
		case s.busy:
			r.again(s, now.Add(time.Second))
			continue
		case s.to.notBefore.After(now):
			r.again(s, s.to.notBefore)
			continue
		case s.waiting != nil:
			s.waiting = r.news.current(s.waiting)
		}
		if s.waiting == nil || now.Sub(s.waiting.at) > life {
			r.drop(s)
			continue
		}
		if r.isEnding() {
			return
		}
		sub := d.shelf.book.find(s.to.endpoint)
		switch {
		case sub == nil && !d.shelf.book.isComplete():
			r.again(s, now.Add(interval))
			continue
		case sub == nil || !sub.wants(s.waiting):
			r.drop(s)
			continue
		}
		jobs = append(jobs, job{desk: d, slot: s, sub: sub, what: s.waiting, checked: now})
		people = append(people, sub.person())
	}
	if jobs == nil {
		return
	}
	standing := r.sender.standings(r.sender.ending, people)
	for i, j := range jobs {
		switch standing[people[i]] {
		case presence.Here:
			r.drop(j.slot)
		case presence.Left:
			r.again(j.slot, now.Add(returning))
		default:
			j.slot.busy, j.slot.waiting = true, nil
			r.again(j.slot, now.Add(interval))
			r.outbox.add(j)
		}
	}
}

// start begins the requests whose turn it is.
func (r *rounds) start(d *desk, now time.Time) {
	batch := r.outbox.next()
	var waited []*job
	for i := range batch {
		j := &batch[i]
		if newer := j.slot.waiting; newer != nil {
			j.what, j.slot.waiting = newer, nil
		}
		if j.what != nil {
			j.what = r.news.current(j.what)
		}
		if j.what != nil && now.Sub(j.checked) >= staysTrue {
			waited = append(waited, j)
		}
	}
	if waited != nil {
		r.checkAgain(d, waited, now)
	}
	for _, j := range batch {
		if j.what == nil || r.isEnding() {
			j.slot.busy = false
			r.outbox.done(j)
			continue
		}
		r.begin(j)
	}
}

// checkAgain looks up what may have changed while requests waited for their turn, and takes the
// message out of those that are not to be made now.
func (r *rounds) checkAgain(d *desk, jobs []*job, now time.Time) {
	r.look(d)
	people := make([]string, 0, len(jobs))
	for _, j := range jobs {
		sub := d.shelf.book.find(j.slot.to.endpoint)
		switch {
		case sub == nil && !d.shelf.book.isComplete():
			sub = j.sub
		case sub == nil || !sub.wants(j.what) || now.Sub(j.what.at) > life:
			j.what = nil
			continue
		}
		j.desk, j.sub = d, sub
		people = append(people, sub.person())
	}
	if len(people) == 0 {
		return
	}
	standing := r.sender.standings(r.sender.ending, people)
	for _, j := range jobs {
		if j.what == nil {
			continue
		}
		switch standing[j.sub.person()] {
		case presence.Here:
			j.what = nil
		case presence.Left:
			j.slot.waiting, j.what = j.what, nil
			j.slot.at = now.Add(returning)
			heap.Fix(&r.due, j.slot.index)
		case presence.Away:
		}
	}
}

// begin begins a request, in a goroutine of its own.
func (r *rounds) begin(j job) {
	s := r.sender
	j.slot.sending = j.what
	s.underWay.Add(1)
	go func() {
		res := result{job: j, outcome: outcome{reason: reasonRejected}}
		defer func() {
			r.results <- res // which has a place for each request
			s.underWay.Add(-1)
			wake.Up(s.landed)
		}()
		defer contain.Panic("a push", func() {})
		res.outcome = j.desk.deliver(s.aborting, s.client, j.sub, j.what)
	}()
}

// settle records what became of a request.
func (r *rounds) settle(res result, now time.Time) {
	s, to, o := res.slot, res.slot.to, res.outcome
	if o.reason == "" || o.reason == reasonNetwork {
		r.outbox.prove(res.service, o.reason == "")
	}
	r.outbox.done(res.job)
	s.busy, s.sending = false, nil
	at := now.Add(interval) // from its end, so that no two come closer however long one takes
	switch {
	case o.reason == "":
		r.sender.Counts.Sent.Add(1)
		to.failures, s.tries = 0, 0
	case o.gone:
		r.fail(res)
		r.sender.forgetLater(res.desk.shelf.book, res.sub)
	default:
		r.fail(res)
		to.failures++
		to.notBefore = now.Add(max(o.wait, backoff(to.failures)))
		at = to.notBefore
		if !o.again {
			break
		}
		if s.tries++; s.tries >= maxTries {
			r.sender.Counts.fail(reasonDropped)
			s.tries = 0
		} else if s.waiting == nil {
			s.waiting = res.what
		}
	}
	s.at = at
	heap.Fix(&r.due, s.index)
}

// fail counts a failure, and logs it if it is the first of its kind at a service.
func (r *rounds) fail(res result) {
	r.sender.Counts.fail(res.outcome.reason)
	if res.outcome.reason == reasonGone {
		return // as happens to each subscription some day
	}
	host := res.service
	r.logOnce(res.desk, res.outcome.reason+" "+host, "push to "+host+" failed", res.outcome.detail)
}

// learn notes what is new of messages that wait. If too much came at once, nothing waits any
// more.
func (r *rounds) learn(n news) {
	if n.lost {
		for _, s := range r.due {
			if s.waiting != nil {
				r.sender.Counts.fail(reasonDropped)
				s.waiting = nil
			}
		}
		r.outbox.void()
	}
	r.news.add(n)
	if r.news.size() > keptNews {
		r.news.keep(r.waiting())
	}
}

// waiting returns the messages that wait, or may wait again because they are under way.
func (r *rounds) waiting() map[store.ID]*notice {
	all := make(map[store.ID]*notice)
	note := func(n *notice) {
		if n != nil {
			all[n.id] = n
		}
	}
	for _, s := range r.due {
		note(s.waiting)
		note(s.sending)
	}
	for _, l := range r.outbox.services {
		for _, j := range l.jobs {
			note(j.what)
		}
	}
	return all
}

// logOnce logs what would otherwise be logged for each message.
func (r *rounds) logOnce(d *desk, what, message string, err error) {
	if r.logged[what] || len(r.logged) >= maxLogged {
		return
	}
	r.logged[what] = true
	d.logger.Warn(message+"; further ones are counted only", zap.String("hub", r.sender.hub), zap.Error(err))
}

// backoff returns how long an endpoint waits after so many failures in a row.
func backoff(failures int) time.Duration {
	wait := min(interval<<min(failures-1, 20), maxWait)
	return wait + time.Duration(rand.Int64N(int64(wait)/5+1))
}
