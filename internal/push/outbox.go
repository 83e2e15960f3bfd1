package push

import (
	"net/url"
	"time"
)

const (
	// maxUnderWay is how many requests are under way at the same time.
	maxUnderWay = 128
	// perService is how many of them go to one push service, so that one that hangs does not
	// hold up the others.
	perService = maxUnderWay / 2
)

// outbox is the requests that wait for their turn. Push services take turns. Only the sender's
// goroutine uses it.
type outbox struct {
	services map[string]*line
	ready    []*line // those with a request that may begin, whose turn is next first
	underWay int
}

// job is a request to a push service.
type job struct {
	desk *desk
	slot *slot
	sub  *Subscription
	what *notice // nil if it is not to be pushed any more
	// checked is when it was looked up who is to be pushed, and whether they are away.
	checked time.Time
}

// line is the requests to one push service.
type line struct {
	service  string
	jobs     []job
	underWay int
	isReady  bool // in outbox.ready
}

func newOutbox() outbox { return outbox{services: make(map[string]*line)} }

// add queues a request.
func (o *outbox) add(j job) {
	name := serviceOf(j.sub)
	l := o.services[name]
	if l == nil {
		l = &line{service: name}
		o.services[name] = l
	}
	l.jobs = append(l.jobs, j)
	o.enlist(l)
}

// enlist gives a service a turn, if it has something to do and may.
func (o *outbox) enlist(l *line) {
	if !l.isReady && len(l.jobs) > 0 && l.underWay < perService {
		l.isReady = true
		o.ready = append(o.ready, l)
	}
}

// void takes the messages out of all requests that wait.
func (o *outbox) void() {
	for _, l := range o.services {
		for i := range l.jobs {
			l.jobs[i].what = nil
		}
	}
}

// next returns the requests whose turn it is, as many as there may be. Each must be ended with
// done.
func (o *outbox) next() (jobs []job) {
	for o.underWay < maxUnderWay && len(o.ready) > 0 {
		l := o.ready[0]
		o.ready[0] = nil
		o.ready = o.ready[1:]
		jobs = append(jobs, l.jobs[0])
		l.jobs[0] = job{}
		l.jobs = l.jobs[1:]
		l.isReady = false
		l.underWay++
		o.underWay++
		o.enlist(l)
	}
	return jobs
}

// isReadyForMore reports whether it is the turn of more requests.
func (o *outbox) isReadyForMore() bool { return o.underWay < maxUnderWay && len(o.ready) > 0 }

// done ends a request.
func (o *outbox) done(j job) {
	o.underWay--
	l := o.services[serviceOf(j.sub)]
	l.underWay--
	o.enlist(l)
	if l.underWay == 0 && len(l.jobs) == 0 {
		delete(o.services, l.service)
	}
}

// serviceOf returns the origin of the push service of a subscription.
func serviceOf(sub *Subscription) string {
	u, err := url.Parse(sub.Endpoint)
	if err != nil {
		return ""
	}
	return service(u)
}
